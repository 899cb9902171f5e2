"""Results of stages, attempts, sightings of the watch, publications and audits.

It never changes a job; queue.py does. Every method is one transaction and may be repeated without harm.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select

from hubbot.lifecycle import Stage
from hubbot.plans import in_words
from hubbot.store.database import reading, upsert, writing
from hubbot.store.queue import Clock
from hubbot.store.records import Attempt, Audit, PublishedVariant, Result, Sighting
from hubbot.store.tables import AttemptRow, AuditRow, PublicationRow, ResultRow, SightingRow, WatermarkRow

# A database takes only so many ids in one question.
ASKED_AT_ONCE = 500


class Results:
    """The results of one database."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def begin_attempt(self, job_id: int, stage: Stage, runner: str) -> int:
        """Open an attempt in the job's history and return its id."""
        row = AttemptRow(job_id=job_id, stage=stage, started_at=self._clock(), error=None, runner=runner)
        with writing(self._engine) as session:
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    def finish_attempt(self, attempt_id: int, outcome: str, error: dict[str, Any] | None) -> None:
        """Close an attempt; one that a rescue has closed already keeps what the rescue wrote."""
        still_open = sa.update(AttemptRow).where(
            col(AttemptRow.id) == attempt_id, col(AttemptRow.ended_at).is_(None)
        )
        with writing(self._engine) as session:
            session.execute(still_open.values(ended_at=self._clock(), outcome=outcome, error=error))

    def attempts(self, job_id: int) -> list[Attempt]:
        """Return a job's attempts, the first one first."""
        query = select(AttemptRow).where(col(AttemptRow.job_id) == job_id).order_by(col(AttemptRow.id))
        with reading(self._engine) as session:
            return [Attempt(**row.model_dump()) for row in session.exec(query).all()]

    def seconds(self, job_ids: Collection[int]) -> dict[int, dict[str, float]]:
        """Return the seconds of each stage of these jobs, over all its attempts that have ended."""
        told: dict[int, dict[str, float]] = {job_id: {} for job_id in job_ids}
        row, ids = AttemptRow, list(told)
        query = select(row.job_id, row.stage, row.started_at, row.ended_at).order_by(col(row.id))
        with reading(self._engine) as session:
            for start in range(0, len(ids), ASKED_AT_ONCE):
                some = col(row.job_id).in_(ids[start : start + ASKED_AT_ONCE])
                for job_id, stage, started_at, ended_at in session.exec(query.where(some)).all():
                    if ended_at is not None:
                        took = told[job_id].get(stage, 0.0) + (ended_at - started_at).total_seconds()
                        told[job_id][stage] = round(took, 3)
        return told

    def put(self, job_id: int, kind: str, data: dict[str, Any], variant: str | None = None) -> None:
        """Store a result; an older one of the same job, kind and variant is replaced."""
        values = {
            "job_id": job_id,
            "kind": kind,
            "variant": variant or "",
            "data": data,
            "stored_at": self._clock(),
        }
        with writing(self._engine) as session:
            upsert(session, ResultRow, values, key=("job_id", "kind", "variant"), update=("data", "stored_at"))

    def get(self, job_id: int, kind: str, variant: str | None = None) -> dict[str, Any] | None:
        """Return a result's data, or None if there is none."""
        query = select(ResultRow).where(
            col(ResultRow.job_id) == job_id,
            col(ResultRow.kind) == kind,
            col(ResultRow.variant) == (variant or ""),
        )
        with reading(self._engine) as session:
            row = session.exec(query).first()
            return None if row is None else _data(row)

    def all(self, job_id: int) -> list[Result]:
        """Return every result of a job, sorted by kind and variant."""
        query = select(ResultRow).where(col(ResultRow.job_id) == job_id)
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(ResultRow.kind), col(ResultRow.variant))).all()
            return [_result(row) for row in rows]

    def record_sighting(self, repo: str, revision: str, verdict: str, job_id: int | None = None) -> None:
        """Store what was decided about a repo at a revision; the time of the first sighting stays."""
        values = {
            "repo": repo,
            "revision": revision,
            "verdict": verdict,
            "job_id": job_id,
            "first_seen": self._clock(),
        }
        with writing(self._engine) as session:
            upsert(session, SightingRow, values, key=("repo", "revision"), update=("verdict", "job_id"))

    def sighting(self, repo: str, revision: str) -> Sighting | None:
        """Return what the watch decided about the repo at this revision, or None if it never saw it."""
        query = select(SightingRow).where(col(SightingRow.repo) == repo, col(SightingRow.revision) == revision)
        with reading(self._engine) as session:
            row = session.exec(query).first()
            return None if row is None else Sighting(**row.model_dump(exclude={"id"}))

    def sightings(self, pattern: str, limit: int) -> list[Sighting]:
        """Return what the watch decided last about repos like `pattern` (`*`: anything), newest first."""
        like = col(SightingRow.repo).like(re.sub(r"[%_/]", r"/\g<0>", pattern).replace("*", "%"), escape="/")
        query = select(SightingRow).where(like).order_by(col(SightingRow.id).desc()).limit(limit)
        with reading(self._engine) as session:
            return [Sighting(**row.model_dump(exclude={"id"})) for row in session.exec(query)]

    def watermark(self, rule: str) -> str | None:
        """Return the time up to which a watch rule has looked, or None if it never ran."""
        with reading(self._engine) as session:
            row = session.get(WatermarkRow, rule)
            return None if row is None else row.value

    def set_watermark(self, rule: str, value: str) -> None:
        """Store the time up to which a watch rule has looked."""
        with writing(self._engine) as session:
            upsert(session, WatermarkRow, {"rule": rule, "value": value}, key=("rule",), update=("value",))

    def move_watermark(self, rule: str, before: str, value: str) -> bool:
        """Set a watermark unless it has changed since it was `before`; return whether it was set."""
        this = sa.update(WatermarkRow).where(col(WatermarkRow.rule) == rule, col(WatermarkRow.value) == before)
        with writing(self._engine) as session:
            moved = session.execute(this.values(value=value).returning(col(WatermarkRow.rule)))
            return moved.first() is not None

    def record_publication(
        self,
        *,
        source_repo: str,
        source_revision: str,
        variant: str,
        target_repo: str,
        target_revision: str,
        bits_per_weight: float,
        size_bytes: int,
        report: Mapping[str, Any],
        model_type: str | None = None,
        kl_mean: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        """Store that a variant is on the Hub; repeated, it updates the row and keeps the first date."""
        facts = {
            "target_revision": target_revision,
            "bits_per_weight": bits_per_weight,
            "bytes": size_bytes,
            "report": dict(report),
            "model_type": model_type,
            "kl_mean": kl_mean,
            "memory_bytes": memory_bytes,
        }
        place = {
            "source_repo": source_repo,
            "source_revision": source_revision,
            "variant": variant,
            "target_repo": target_repo,
        }
        values = {**place, **facts, "published_at": self._clock()}
        with writing(self._engine) as session:
            upsert(session, PublicationRow, values, key=tuple(place), update=tuple(facts))

    def publications(self, source_repo: str | None = None) -> list[PublishedVariant]:
        """Return what is published, the newest first; of one source repo where it is named."""
        query = select(PublicationRow).order_by(
            col(PublicationRow.published_at).desc(), col(PublicationRow.id).desc()
        )
        if source_repo is not None:
            query = query.where(col(PublicationRow.source_repo) == source_repo)
        with reading(self._engine) as session:
            return [PublishedVariant(**row.model_dump(exclude={"id"})) for row in session.exec(query).all()]

    def publications_to(self, target_repo: str) -> list[PublishedVariant]:
        """Return what was ever published to a repo, the newest first."""
        query = select(PublicationRow).where(col(PublicationRow.target_repo) == target_repo)
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(PublicationRow.id).desc())).all()
            return [PublishedVariant(**row.model_dump(exclude={"id"})) for row in rows]

    def every(self, kind: str) -> list[Result]:
        """Return the results of one kind of all jobs, the oldest first, without those whose data is empty."""
        query = select(ResultRow).where(col(ResultRow.kind) == kind).order_by(col(ResultRow.id))
        with reading(self._engine) as session:
            return [_result(row) for row in session.exec(query).all() if row.data]

    def record_audit(
        self,
        published: PublishedVariant,
        *,
        revision: str,
        verdict: str,
        reason: str,
        gates: Mapping[str, Any],
        versions: Mapping[str, str],
        job_id: int | None,
    ) -> Audit:
        """Store the referee's verdict on `revision` of a published repo, and return the audit.

        With a `job_id`, which repairs it, the variant no longer counts as published by these versions: else that
        job would be skipped as done already.
        """
        audit = Audit(
            target_repo=published.target_repo,
            target_revision=revision,
            variant=published.variant,
            verdict=verdict,
            reason=reason,
            gates=dict(gates),
            versions=dict(versions),
            job_id=job_id,
            audited_at=self._clock(),
        )
        refused = {**_without_versions(published), "verdict": verdict}
        with writing(self._engine) as session:
            session.add(AuditRow(**asdict(audit)))
            if job_id is not None:
                session.execute(_row_of(published).values(report=refused))
        return audit

    def last_audits(self) -> dict[tuple[str, str], Audit]:
        """Return the last audit of each published repo and variant that was ever audited."""
        last = sa.select(sa.func.max(col(AuditRow.id))).group_by(col(AuditRow.target_repo), col(AuditRow.variant))
        with reading(self._engine) as session:
            rows = session.exec(select(AuditRow).where(col(AuditRow.id).in_(last))).all()
            return {(row.target_repo, row.variant): Audit(**row.model_dump(exclude={"id"})) for row in rows}

    def forget_versions(self, published: PublishedVariant) -> None:
        """Let a variant no longer count as published by the versions that made it, so that a job makes it anew."""
        with writing(self._engine) as session:
            session.execute(_row_of(published).values(report=_without_versions(published)))


def _row_of(published: PublishedVariant) -> sa.Update:
    return sa.update(PublicationRow).where(
        col(PublicationRow.target_repo) == published.target_repo,
        col(PublicationRow.source_revision) == published.source_revision,
        col(PublicationRow.variant) == published.variant,
    )


def _without_versions(published: PublishedVariant) -> dict[str, Any]:
    return {**published.report, "versions": {}, "made_with": published.made_with}


def _result(row: ResultRow) -> Result:
    return Result(
        job_id=row.job_id,
        kind=row.kind,
        variant=row.variant or None,
        data=_data(row),
        stored_at=row.stored_at,
    )


def _data(row: ResultRow) -> dict[str, Any]:
    # Earlier versions stored layouts under letters.
    return in_words(row.data) if row.kind == "layout" else row.data
