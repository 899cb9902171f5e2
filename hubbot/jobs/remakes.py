"""Remakes: enqueue anew what was published as text only, where the tower of its source can be kept now.

It reads marks and headers alone, downloads no weights and changes nothing on the Hub; the job does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hubbot.catalogue import packings
from hubbot.catalogue.families import family_of
from hubbot.catalogue.tensors import tower_of
from hubbot.checkpoints import Checkpoint
from hubbot.errors import HubbotError, TryLater
from hubbot.hub.client import Hub
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
        """Enqueue a job for each of `chosen` that is due, unless `dry_run`, and yield every one with the reason.

        Raises TryLater where Hub or database fail; any other error is the reason why nothing is enqueued.
        """
        seen: set[str] = set()
        for item in chosen:
            # A repo's newest publication comes first, and is what the repo holds.
            if item.target_repo in seen:
                continue
            seen.add(item.target_repo)
            why_not = self._why_not(item)
            job_id = None if why_not or dry_run else self._enqueue(item)
            yield Remade(
                repo=item.target_repo,
                source=f"{item.source_repo}@{item.source_revision}",
                variant=item.variant,
                is_due=why_not is None,
                reason=why_not or SEES_NOW,
                job_id=job_id,
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

    def _enqueue(self, item: PublishedVariant) -> int:
        """Enqueue the conversion of this variant, once for each commit of the source; return the job's id."""
        job, _ = self.queue.enqueue(
            item.source_repo,
            item.source_revision,
            (item.variant,),
            f"{recipe_key((item.variant,))}, with its tower",
            requested_by=f"audit --remake of {item.target_repo}",
        )
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
