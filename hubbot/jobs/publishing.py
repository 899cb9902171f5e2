"""The last stage of a job: every variant to the Hub, then the cards of those that stand there already.

What each publication came to is written down; courtesies that were refused are noted for later. It judges nothing.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubbot.artifacts import Publication, Report
from hubbot.cards.made_variants import Made, quality_word
from hubbot.cards.memory_needs import needed_bytes
from hubbot.checkpoints import Checkpoint, Repo
from hubbot.conversion.workspace import Workspace
from hubbot.deadlines import within
from hubbot.errors import HubbotError, TryLater
from hubbot.finishing import PICTURES
from hubbot.hub.client import Hub
from hubbot.jobs import courtesies
from hubbot.jobs.card_renewals import published_of
from hubbot.jobs.targets import Targets
from hubbot.lifecycle import Job
from hubbot.settings import Settings
from hubbot.steps import publish
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
# What a stage in this process may take to stop by itself; a service manager waits for twice as long.
STOP_SECONDS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """The publications of one job; every call ends soon after `cancelled` is set."""

    settings: Settings
    targets: Targets
    results: Results
    job: Job
    workspace: Workspace
    cancelled: threading.Event

    @property
    def hub(self) -> Hub:
        """Return the Hub."""
        return self.targets.hub

    def publish(self, checkpoint: Checkpoint, variant: str, versions: Mapping[str, str]) -> None:
        """Publish a variant that was made and judged; raises as steps.publish does."""
        job, report = self.job, self.workspace.report(variant)
        repo_id = self.targets.name(job, variant)
        seen = self._as_seen(checkpoint, repo_id)
        published = self._within(
            lambda: publish.publish(
                report.approve(),
                seen,
                hub=self.hub,
                repo_id=repo_id,
                collection=self.settings.collection,
                allow_older=job.allow_older,
                begun=self.targets.begun(job, variant),
                on_begin=lambda: self.targets.note_begun(job, variant, repo_id),
            )
        )
        courtesies.note(self.results, job.id, variant, published)
        keep_pictures(self.settings, repo_id, Path(report.artifact.path))
        self._record(
            published, report, checkpoint, versions, report.artifact.bits_per_weight, report.artifact.nbytes
        )

    def _as_seen(self, checkpoint: Checkpoint, repo_id: str) -> Checkpoint:
        """Return the source, as if private where somebody has hidden what hubbot had made public: it stays so."""
        last = next(iter(self.results.publications_to(repo_id)), None)
        if last is None or last.report.get("private") is not False:
            return checkpoint
        state = self._within(lambda: self.hub.state(repo_id))
        if state is None or not state.private:
            return checkpoint
        logger.warning("%s was public and somebody has hidden it: it stays private", repo_id)
        return replace(checkpoint, private=True)

    def renew_cards(self, checkpoint: Checkpoint) -> None:
        """Renew the cards that the card stage wrote for variants which are published already."""
        if not self.workspace.has("cards"):
            return
        by_variant = self.workspace.load("cards")
        for made in self._within(lambda: published_of(self.hub, by_variant.values())):
            if by_variant.get(made.variant) != made.repo_id:
                continue
            try:
                self._renew(made, checkpoint)
            except HubbotError as error:
                # What was asked for is published; that the others show it, too, is a courtesy.
                if isinstance(error, TryLater) or made.variant in self.job.variants:
                    raise
                logger.warning("the card of %s is not renewed: %s", made.repo_id, error)

    def _renew(self, made: Made, checkpoint: Checkpoint) -> None:
        job, folder = self.job, self.workspace.cards / made.variant
        source = Repo(id=job.repo, revision=job.revision)
        asked = made.variant in job.variants
        # A card renewed because of another variant keeps the tag of its own commit of the source.
        tagged = source if asked else replace(source, revision=made.current_at or made.mark["source"]["revision"])
        seen = self._as_seen(checkpoint, made.repo_id)
        private = seen.gated or seen.private

        def renew() -> Publication:
            state = publish.renew_card(self.hub, made.repo_id, folder, source=source, variant=made.variant)
            if state.private != private:
                self.hub.set_private(made.repo_id, private=private)
            collection = None if private else self.settings.collection
            return Publication(
                source=tagged,
                variant=made.variant,
                repo_id=made.repo_id,
                revision=state.revision,
                private=private,
                url=f"{self.hub.endpoint}/{made.repo_id}",
                owed=publish.pay_courtesies(
                    self.hub, made.repo_id, source=tagged, commit=state.revision, collection=collection
                ),
            )

        published = self._within(renew)
        courtesies.note(self.results, job.id, made.variant, published)
        keep_pictures(self.settings, made.repo_id, folder)
        self._record(published, made.report, checkpoint, made.mark.get("versions", {}), made.bits, made.nbytes)

    def _record(
        self,
        published: Publication,
        report: Report | None,
        checkpoint: Checkpoint,
        versions: Mapping[str, str],
        bits: float,
        nbytes: int,
    ) -> None:
        told: dict[str, Any] = {"url": published.url, "versions": dict(versions)}
        # Whether the source asks for it: what is private without that was hidden by somebody.
        told["private"] = checkpoint.gated or checkpoint.private
        if report is not None:
            told |= {"verdict": report.verdict, "gates": report.gates, "tier": report.tier}
        told["quality"] = quality_word(report)
        self.results.record_publication(
            source_repo=published.source.id,
            source_revision=published.source.revision,
            variant=published.variant,
            target_repo=published.repo_id,
            target_revision=published.revision,
            bits_per_weight=bits,
            size_bytes=nbytes,
            report=told,
            model_type=checkpoint.model_type,
            kl_mean=report.kl_mean if report else None,
            memory_bytes=needed_bytes(nbytes, checkpoint.config),
        )

    def _within(self, call: Callable[[], Any]) -> Any:
        # A publication reads the whole artifact again, which no event stops.
        return within(None, self.cancelled, call, grace=STOP_SECONDS)


def keep_pictures(settings: Settings, repo_id: str, folder: Path) -> None:
    """Keep a variant's pictures for the pages of this machine; those of an older version go."""
    kept = settings.pictures / repo_id
    shutil.rmtree(kept, ignore_errors=True)
    for name in PICTURES:
        if (folder / name).is_file():
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, kept / Path(name).name)
