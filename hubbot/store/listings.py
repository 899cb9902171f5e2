"""What the pages show of the database: jobs and published models, a page at a time, with their totals.

Every query is bounded and uses an index or one pass over the narrow columns; it changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from hubbot.lifecycle import Job, State
from hubbot.store.database import reading
from hubbot.store.queue import job_of
from hubbot.store.records import PublishedVariant
from hubbot.store.tables import JobRow, PublicationRow

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs, and how many there are on all pages."""

    jobs: tuple[Job, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A source with what is published of it: its current repos, sizes in bytes, `kl_best` in nats."""

    source_repo: str
    model_type: str | None
    variants: int
    smallest: int
    largest: int
    kl_best: float | None
    published_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery:
    """Which published models to list, and in what order; `sort` is one of SORTS.

    Wanted is one variant, at least, that is called `variant`, needs at most `memory_bytes` and is at most
    `kl_mean` nats from the unquantized model; "" and None set no such limit.
    """

    text: str = ""
    model_type: str = ""
    variant: str = ""
    memory_bytes: float | None = None
    kl_mean: float | None = None
    sort: str = "published"
    descending: bool = True
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """One page of published models, and how many there are on all pages."""

    models: tuple[PublishedModel, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much is published: models, repos and bytes."""

    models: int = 0
    repos: int = 0
    nbytes: int = 0
    variants: tuple[str, ...] = field(default=())
    model_types: tuple[str, ...] = field(default=())


_COLUMNS: Mapping[str, sa.SQLColumnExpression[Any]] = MappingProxyType(
    {
        "model": col(PublicationRow.source_repo),
        "type": sa.func.max(col(PublicationRow.model_type)),
        "variants": sa.func.count(),
        "smallest": sa.func.min(col(PublicationRow.bytes)),
        "largest": sa.func.max(col(PublicationRow.bytes)),
        "quality": sa.func.min(col(PublicationRow.kl_mean)),
        "published": sa.func.max(col(PublicationRow.published_at)),
    }
)
SORTS = tuple(_COLUMNS)


class Listings:
    """The pages over one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def jobs(self, states: Collection[State] = (), text: str = "", page: int = 1) -> JobPage:
        """Return one page of jobs, the newest first, in these states (all if none) whose repo contains `text`."""
        conditions = [_contains(col(JobRow.repo), text)] if text else []
        if states:
            conditions.append(col(JobRow.state).in_(states))
        query = select(JobRow).where(*conditions).order_by(col(JobRow.id).desc())
        with reading(self._engine) as session:
            total = session.scalar(sa.select(sa.func.count()).select_from(JobRow).where(*conditions)) or 0
            rows = session.exec(query.limit(PAGE_ROWS).offset(PAGE_ROWS * (page - 1))).all()
            return JobPage(jobs=tuple(map(job_of, rows)), total=total)

    def running(self, limit: int = 10) -> list[Job]:
        """Return the jobs under way, the oldest first."""
        return self._jobs(State.RUNNING, (col(JobRow.updated_at),), limit)

    def queue(self, limit: int = 10) -> list[Job]:
        """Return waiting jobs in the order in which they will be taken, pauses aside."""
        order = (col(JobRow.rank), col(JobRow.id))
        return self._jobs(State.WAITING, order, limit)

    def ended_since(
        self, states: Collection[State], since: datetime, limit: int, *, until: datetime | None = None
    ) -> list[Job]:
        """Return jobs that came into these states after a moment, up to another, the first one first."""
        query = select(JobRow).where(col(JobRow.state).in_(states), col(JobRow.updated_at) > since)
        if until is not None:
            query = query.where(col(JobRow.updated_at) <= until)
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(JobRow.updated_at), col(JobRow.id)).limit(limit)).all()
            return [job_of(row) for row in rows]

    def count_since(self, state: State, since: datetime) -> int:
        """Return how many jobs came into a state after a moment."""
        query = sa.select(sa.func.count()).where(col(JobRow.state) == state, col(JobRow.updated_at) > since)
        with reading(self._engine) as session:
            return session.scalar(query) or 0

    def needing_a_person(self, limit: int = 10) -> list[Job]:
        """Return parked and failed jobs, the latest first."""
        latest = (col(JobRow.updated_at).desc(),)
        found = [job for state in (State.PARKED, State.FAILED) for job in self._jobs(state, latest, limit)]
        return sorted(found, key=lambda job: job.updated_at, reverse=True)[:limit]

    def models(self, query: ModelQuery) -> ModelPage:
        """Return one page of published models; a repo counts once, as its newest publication."""
        source = col(PublicationRow.source_repo)
        conditions = [_current()]
        if query.text:
            conditions.append(_contains(source, query.text))
        if query.model_type:
            conditions.append(col(PublicationRow.model_type) == query.model_type)
        wanted = _wanted(query)
        if wanted:
            # The models that have such a variant, with all their variants.
            conditions.append(source.in_(sa.select(source).where(_current(), *wanted)))
        key = _COLUMNS[query.sort]
        columns: list[sa.Label[Any]] = [column.label(name) for name, column in _COLUMNS.items()]
        grouped = sa.select(*columns).where(*conditions).group_by(source)
        # What was not measured comes last either way.
        grouped = grouped.order_by(key.is_(None), key.desc() if query.descending else key.asc(), source)
        with reading(self._engine) as session:
            total = session.scalar(sa.select(sa.func.count(sa.distinct(source))).where(*conditions)) or 0
            rows = session.execute(grouped.limit(PAGE_ROWS).offset(PAGE_ROWS * (query.page - 1))).all()
            return ModelPage(models=tuple(map(_model, rows)), total=total)

    def variants(self, source_repo: str) -> list[PublishedVariant]:
        """Return the newest publication of every repo of one source, the largest first."""
        query = (
            select(PublicationRow)
            .where(_current(), col(PublicationRow.source_repo) == source_repo)
            .order_by(col(PublicationRow.bytes).desc(), col(PublicationRow.target_repo))
        )
        with reading(self._engine) as session:
            return [_published(row) for row in session.exec(query).all()]

    def totals(self) -> Totals:
        """Return how much is published, and which variants and model types there are to filter by."""
        counted = sa.select(
            sa.func.count(sa.distinct(col(PublicationRow.source_repo))),
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(col(PublicationRow.bytes)), 0),
        ).where(_current())
        with reading(self._engine) as session:
            models, repos, nbytes = session.execute(counted).one()
            return Totals(
                models=models,
                repos=repos,
                nbytes=int(nbytes),
                variants=_distinct(session, col(PublicationRow.variant)),
                model_types=_distinct(session, col(PublicationRow.model_type)),
            )

    def _jobs(self, state: State, order: tuple[sa.SQLColumnExpression[Any], ...], limit: int) -> list[Job]:
        query = select(JobRow).where(col(JobRow.state) == state).order_by(*order).limit(limit)
        with reading(self._engine) as session:
            return [job_of(row) for row in session.exec(query).all()]


def _contains(column: Any, text: str) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = sa.func.lower(column).contains(text.lower(), autoescape=True)
    return found


def _wanted(query: ModelQuery) -> list[sa.ColumnElement[bool]]:
    """Return what one variant of a model must satisfy."""
    conditions: list[sa.ColumnElement[bool]] = []
    if query.variant:
        conditions.append(col(PublicationRow.variant) == query.variant)
    if query.memory_bytes is not None:
        # What an older version published has no estimate; its weights are the most of it.
        needed = sa.func.coalesce(col(PublicationRow.memory_bytes), col(PublicationRow.bytes))
        conditions.append(needed <= query.memory_bytes)
    if query.kl_mean is not None:
        conditions.append(col(PublicationRow.kl_mean) <= query.kl_mean)
    return conditions


def _current() -> sa.ColumnElement[bool]:
    """Say whether a row is the newest publication of its repo."""
    newest = sa.select(sa.func.max(col(PublicationRow.id))).group_by(col(PublicationRow.target_repo))
    return col(PublicationRow.id).in_(newest)


def _distinct(session: Session, column: Any) -> tuple[str, ...]:
    return tuple(session.scalars(sa.select(column).where(column.is_not(None)).distinct().order_by(column)).all())


def _published(row: PublicationRow) -> PublishedVariant:
    return PublishedVariant(**row.model_dump(exclude={"id"}))


def _model(row: sa.Row[Any]) -> PublishedModel:
    return PublishedModel(
        source_repo=row.model,
        model_type=row.type,
        variants=row.variants,
        smallest=row.smallest,
        largest=row.largest,
        kl_best=row.quality,
        published_at=row.published,
    )
