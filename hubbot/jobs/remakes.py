"""Remakes: enqueue anew what was published as text only, where the tower of its source can be kept now.

It reads marks and headers alone, downloads no weights and changes nothing on the Hub; the job does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from hubbot.catalogue import packings
from hubbot.catalogue.families import family_of
from hubbot.catalogue.tensors import tower_of
from hubbot.checkpoints import Checkpoint
from hubbot.errors import HubbotError, TryLater
from hubbot.hub.client import Hub
from hubbot.jobs.audits import source_of
from hubbot.jobs.pipeline import recipe_key
from hubbot.settings import Settings
from hubbot.steps import inspect, publish
from hubbot.store.queue import Queue
from hubbot.store.records import PublishedVariant
from hubbot.store.results import Results

SEES_NOW = "the tower of its source can be kept now"
_SEES = "it takes images already"
_NO_TOWER = "its source takes text alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """A published repo; `is_due` says whether it can be made with a tower that it lacks, `job_id` is the job."""

    repo: str
    source: str
    variant: str
    is_due: bool
    reason: str
    job_id: int | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaking:
    """Remakes over one Hub and one database."""

    settings: Settings
    hub: Hub
    queue: Queue
    results: Results

    def run(self, chosen: Sequence[PublishedVariant], *, dry_run: bool = False) -> Iterator[Remade]:
        """Enqueue one job for those of `chosen` that are due and have one source, unless `dry_run`, and yield all.

        Raises TryLater where Hub or database fail; any other error is the reason why nothing is enqueued.
        """
        newest: dict[str, PublishedVariant] = {}
        for item in chosen:
            # A repo's newest publication comes first, and is what the repo holds.
            newest.setdefault(item.target_repo, item)
        for _, variants in groupby(sorted(newest.values(), key=source_of), key=source_of):
            asked = [(item, self._why_not(item)) for item in variants]
            due = [item for item, why_not in asked if why_not is None]
            job_id = self._enqueue(due) if due and not dry_run else None
            for item, why_not in asked:
                yield Remade(
                    repo=item.target_repo,
                    source=f"{item.source_repo}@{item.source_revision}",
                    variant=item.variant,
                    is_due=why_not is None,
                    reason=why_not or SEES_NOW,
                    job_id=None if why_not else job_id,
                )

    def _why_not(self, item: PublishedVariant) -> str | None:
        try:
            state = self.hub.state(item.target_repo)
            mark = publish.read_mark(self.hub, item.target_repo, state) if state else None
            if mark is None:
                return "the repo, or hubbot's mark in it, is gone"
            if mark.get("sees"):
                return _SEES
            checkpoint = inspect.inspect(self.hub.open(item.source_repo, item.source_revision))
            return why_blind(checkpoint, text_only=self.settings.text_only)
        except TryLater:
            raise
        except HubbotError as error:
            return error.message

    def _enqueue(self, due: Sequence[PublishedVariant]) -> int:
        """Enqueue these variants of one commit, which share its download; return the job's id."""
        (source, revision), variants = source_of(due[0]), tuple(item.variant for item in due)
        key = f"{recipe_key(variants)}, with its tower"
        job, _ = self.queue.enqueue(source, revision, variants, key, requested_by="audit --remake")
        for item in due:
            self.results.forget_versions(item)
        return job.id


def why_blind(checkpoint: Checkpoint, *, text_only: bool) -> str | None:
    """Return why what is made of a source takes text alone, or None where its tower is kept."""
    family = family_of(checkpoint)
    if family is None:
        return f"no row of the catalogue knows model type {checkpoint.model_type!r}"
    stored = packings.unpacked(checkpoint)
    tower = tower_of(stored.checkpoint, stored.packed, family, text_only=text_only)
    return None if tower.is_kept else tower.reason or _NO_TOWER
