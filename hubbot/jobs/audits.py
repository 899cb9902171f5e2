"""Audits: run the gates again on published repos, and enqueue a job that repairs what fails.

The newest commit of the published repo is judged, as its users get it, against the source commit that it was made
from. It changes nothing on the Hub; the repairing job does.
"""

import logging
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from hubbot import __version__
from hubbot.artifacts import Report
from hubbot.catalogue import extensions, runtimes
from hubbot.catalogue.known_bad_versions import KnownBad, installed, touching
from hubbot.conversion import stages
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.source_files import bring_source
from hubbot.conversion.workspace import Workspace
from hubbot.errors import HubbotError, TryLater
from hubbot.finishing import ABOUT
from hubbot.hub.client import Hub
from hubbot.jobs import child
from hubbot.jobs.card_renewals import counts
from hubbot.jobs.pipeline import recipe_key
from hubbot.marks import recorded
from hubbot.progress import Progress
from hubbot.settings import Settings
from hubbot.steps import publish
from hubbot.store.queue import Queue
from hubbot.store.records import PublishedVariant
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
NOT_JUDGED = "not-judged"
REVISION_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One published repo after its audit; `job_id` is the job that is to repair it, if any.

    `offer` is a sentence where the installed mlx-lm has a class that makes the repo's model file needless.
    """

    repo: str
    revision: str
    source: str
    variant: str
    made_with: dict[str, str]
    verdict: str
    reason: str
    gates: dict[str, str]
    job_id: int | None
    offer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    revision: str
    verdict: str
    reason: str
    gates: Mapping[str, str]
    offer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditing:
    """Audits over one Hub and one database."""

    settings: Settings
    hub: Hub
    queue: Queue
    results: Results
    progress: Progress
    cancelled: threading.Event

    def chosen(
        self, made_with: Mapping[str, str], repos: Sequence[str], *, known_bad: bool = False
    ) -> list[PublishedVariant]:
        """Return the published variants of `repos` (none: of all) that were made with these versions.

        A version may be abbreviated: mlx-lm 0.32 stands for 0.32.1 and 0.32.2. `known_bad`: only what a version
        that is known to be wrong made, see catalogue/known_bad_versions.py.
        """
        return [
            item
            for item in self.results.publications()
            if (not repos or item.target_repo in repos or item.source_repo in repos)
            and all(_is_version(item.made_with.get(name), wanted) for name, wanted in made_with.items())
            and not (known_bad and not faults_of(item))
        ]

    def run(self, chosen: Sequence[PublishedVariant]) -> Iterator[Audited]:
        """Judge each of `chosen`, record the verdict and yield it; the variants of a source share its download.

        Raises TryLater where Hub, disk or database fail; any other error makes the verdict not-judged.
        """
        ordered = sorted(chosen, key=source_of)
        for (source, revision), variants in groupby(ordered, key=source_of):
            name = f"audit-{source.replace('/', '--')}-{revision[:REVISION_DIGITS]}"
            workspace = Workspace(root=self.settings.data_dir / "work" / name)
            try:
                yield from self._source(workspace, source, revision, list(variants))
            finally:
                workspace.remove()

    def pass_over(self, item: PublishedVariant, reason: str) -> Audited:
        """Record that a variant could not be judged, and why."""
        return self._record(item, _not_judged(item, f"it cannot be judged: {reason}"))

    def _source(
        self, workspace: Workspace, source: str, revision: str, variants: list[PublishedVariant]
    ) -> Iterator[Audited]:
        conversion = self._conversion(workspace, source, revision)
        try:
            bring_source(conversion, stages.inspect(conversion), room_for=0)
        except TryLater:
            raise
        except HubbotError as error:
            # Gone, gated or changed: that says nothing about what was made of it.
            for item in variants:
                yield self._record(item, _not_judged(item, f"its source cannot be read: {error.message}"))
            return
        for item in variants:
            if self.cancelled.is_set():
                return
            yield self._record(item, self._judged(conversion, item))

    def _conversion(self, workspace: Workspace, source: str, revision: str) -> Conversion:
        return Conversion(
            workspace=workspace,
            settings=self.settings,
            open_source=lambda: self.hub.open(source, revision),
            origin=self.hub,
            call=child.caller(self.settings, self.cancelled),
            show=lambda _title: nullcontext(self.progress),
        )

    def _judged(self, conversion: Conversion, item: PublishedVariant) -> _Verdict:
        folder = conversion.workspace.variant(item.variant)
        try:
            files = self.hub.open(item.target_repo, None)
            state = self.hub.state(item.target_repo)
            mark = publish.read_mark(self.hub, item.target_repo, state) if state else None
            own = {file.path for file in recorded(mark)} | ABOUT if mark else ABOUT
            # What people added and no loader reads is theirs: notes, pictures.
            judged = [file for file in files.files if file.path in own or counts(file.path)]
            self.hub.fetch(files.repo, judged, folder, self.progress)
            report = stages.judge_folder(conversion, folder)
            offer = _offer(conversion, folder) if report.verdict == "approved" else None
        except TryLater:
            raise
        except HubbotError as error:
            return _not_judged(item, f"it cannot be judged: {error.message}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return _Verdict(
            revision=files.repo.revision,
            verdict=report.verdict,
            reason=_worst(report),
            gates=report.gates,
            offer=offer,
        )

    def _record(self, item: PublishedVariant, judged: _Verdict) -> Audited:
        job_id = self._repair(item, judged) if judged.verdict == "refused" else None
        self.results.record_audit(
            item,
            revision=judged.revision,
            verdict=judged.verdict,
            reason=judged.reason,
            gates=judged.gates,
            versions={**installed(), "hubbot": __version__, "mlx-lm": runtimes.version() or "none"},
            job_id=job_id,
        )
        logger.info("%s: %s (%s)", item.target_repo, judged.verdict, judged.reason)
        return Audited(
            repo=item.target_repo,
            revision=judged.revision,
            source=f"{item.source_repo}@{item.source_revision}",
            variant=item.variant,
            made_with=item.made_with,
            verdict=judged.verdict,
            reason=judged.reason,
            gates=dict(judged.gates),
            job_id=job_id,
            offer=judged.offer,
        )

    def _repair(self, item: PublishedVariant, judged: _Verdict) -> int:
        """Enqueue the conversion of this variant again, once for each refused commit; return the job's id."""
        key = f"{recipe_key((item.variant,))}, repair of {judged.revision[:REVISION_DIGITS]}"
        job, _ = self.queue.enqueue(
            item.source_repo,
            item.source_revision,
            (item.variant,),
            key,
            requested_by=f"audit of {item.target_repo}",
        )
        return job.id


def source_of(item: PublishedVariant) -> tuple[str, str]:
    """Return repo and commit of the source that a variant was made from."""
    return item.source_repo, item.source_revision


def faults_of(item: PublishedVariant) -> tuple[KnownBad, ...]:
    """Return the faults of the versions that made a variant, as far as they touch it."""
    return touching(item.made_with, item.model_type, item.variant)


def _is_version(version: str | None, wanted: str) -> bool:
    return version is not None and (version == wanted or version.startswith(f"{wanted}."))


def _offer(conversion: Conversion, folder: Path) -> str | None:
    """Return what can be said of an artifact's model file; an artifact that fits no memory is not asked."""
    if not any((folder / name).is_file() for name in extensions.names()):
        return None
    try:
        return stages.stock_form(conversion, folder)
    except TryLater:
        raise
    except HubbotError as error:
        logger.info("%s: whether mlx-lm's own class runs it was not found out: %s", folder.name, error.message)
        return None


def _not_judged(item: PublishedVariant, reason: str) -> _Verdict:
    return _Verdict(revision=item.target_revision, verdict=NOT_JUDGED, reason=reason, gates={})


def _worst(report: Report) -> str:
    if not report.failures:
        return (
            "every gate that ran passed" if report.verdict == "approved" else "a gate that must pass did not run"
        )
    worst = report.failures[0]
    more = f" and {len(report.failures) - 1} more" if len(report.failures) > 1 else ""
    return f"{worst.gate}, {worst.check}: {worst.subject}: {worst.reason}{more}"
