"""One job, one stage: runs the stage of the conversion, records what it found, returns the outcome.

Light stages run here, heavy ones in a child process without a token. It never decides when a job is tried
again (lifecycle.py, retry.py) and never judges an artifact itself.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

from hubbot.cards.made_variants import Made
from hubbot.catalogue import runtimes
from hubbot.checkpoints import Checkpoint
from hubbot.conversion import stages
from hubbot.conversion.conversion import Conversion, SourceStrategy
from hubbot.conversion.shard_by_shard import ShardByShard
from hubbot.conversion.whole_source import WholeSource
from hubbot.conversion.workspace import Workspace
from hubbot.deadlines import Interrupted, within
from hubbot.errors import AlreadyPublished, HubbotError, LicenceForbids, TooLarge, WorkLost
from hubbot.files.sizes import readable
from hubbot.hub.client import Hub
from hubbot.jobs import child
from hubbot.jobs.card_renewals import is_card_only, published_of
from hubbot.jobs.kept_children import KeptChildren
from hubbot.jobs.publishing import STOP_SECONDS, Publishing
from hubbot.jobs.targets import Targets, refuse_without_licence
from hubbot.jobs.upload_child import upload_in_child
from hubbot.lifecycle import Job, Outcome, Published, Refused, Stage, StageDone
from hubbot.progress import Progress
from hubbot.settings import Settings
from hubbot.sources.pickle_files import has_pickles
from hubbot.steps import card, publish
from hubbot.store.queue import Clock, Queue
from hubbot.store.results import Results

# How often a stage's progress is written into the database.
SAVED_SECONDS = 10.0


class OnProgress(Protocol):
    """Show the progress of a job's stage."""

    def __call__(self, job: Job, done: int, total: int, label: str) -> None:
        """Take the job, the amount done of the total, and what was just done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The stages of a job under one set of settings."""

    settings: Settings
    hub: Hub
    queue: Queue
    results: Results
    on_progress: OnProgress
    clock: Clock
    children: KeptChildren[child.Child] = field(default_factory=KeptChildren)

    def run_stage(self, job: Job, cancelled: threading.Event) -> Outcome:
        """Run the job's present stage and return its outcome; a HubbotError becomes a Refused.

        Raises WorkLost at the first stage, Interrupted when `cancelled` is set, and whatever is no HubbotError.
        """
        outcome: Outcome | None = None
        try:
            outcome = self._outcome(job, cancelled)
        finally:
            # The stages after these have no work for it: the job ends, goes back to its beginning or is published.
            if not isinstance(outcome, StageDone) or outcome.next is not None or job.stage is Stage.CARD:
                self.children.hand_on(job.id)
        return outcome

    def _outcome(self, job: Job, cancelled: threading.Event) -> Outcome:
        try:
            if job.stage not in {Stage.INSPECT, Stage.PUBLISH}:
                self.workspace(job).check_format()
            return self._stages()[job.stage](job, cancelled)
        except WorkLost:
            # A stage's leftovers were deleted, torn or written by another version: what the first stage needs is
            # on the Hub.
            if job.stage is Stage.INSPECT:
                raise
            return StageDone(next=Stage.INSPECT)
        except HubbotError as error:
            return Refused(error=error, runtime=runtime_key())

    def workspace(self, job: Job) -> Workspace:
        """Return the job's folder."""
        return Workspace(root=self.settings.data_dir / "work" / f"job-{job.id}")

    def _stages(self) -> Mapping[Stage, Callable[[Job, threading.Event], Outcome]]:
        return {
            Stage.INSPECT: self._inspect,
            Stage.CLASSIFY: self._classify,
            Stage.PLAN: self._plan,
            Stage.FETCH: self._fetch,
            Stage.CONVERT: self._convert,
            Stage.VERIFY: self._verify,
            Stage.SMOKE: self._smoke,
            Stage.CARD: self._card,
            Stage.PUBLISH: self._publish,
        }

    def _inspect(self, job: Job, cancelled: threading.Event) -> Outcome:
        if not self.workspace(job).is_of(job.revision):
            # Numbers of jobs begin anew with a new database, and its folders may still be there.
            self.workspace(job).remove()
        # While the Hub answers it loads what the plan needs; a job that ends here leaves it to the next.
        child.prepare(self.settings, self.children, job.id)
        conversion = self._conversion(job, cancelled)
        checkpoint = within(None, cancelled, lambda: stages.inspect(conversion), grace=STOP_SECONDS)
        self._refuse_older(job, self.hub.until(cancelled))
        check_wanted(checkpoint, self.settings)
        refuse_without_licence(checkpoint, self.settings)
        summary = {
            "model_type": checkpoint.model_type,
            "tensors": len(checkpoint.tensors),
            "bytes": checkpoint.weight_bytes,
            "shards": len(checkpoint.shards),
            "requests": checkpoint.requests,
            "bytes_read": checkpoint.bytes_read,
        }
        self.results.put(job.id, "checkpoint", summary)
        return StageDone()

    def _classify(self, job: Job, cancelled: threading.Event) -> Outcome:
        layout = stages.classify(self._conversion(job, cancelled))
        self.results.put(job.id, "layout", layout.to_json())
        return StageDone()

    def _plan(self, job: Job, cancelled: threading.Event) -> Outcome:
        # Better to learn before the work than after it that there is nowhere to publish.
        targets, checkpoint = self._targets(cancelled), self.workspace(job).checkpoint()

        def look() -> bool:
            found = targets.check(job)
            # A job with a key of its own was opened by an audit, to make what is published anew.
            key = recipe_key(job.variants, text_only=self.settings.text_only)
            return job.recipe_key == key and is_card_only(targets.hub, job, found, checkpoint)

        only_card = within(None, cancelled, look, grace=STOP_SECONDS)
        self.workspace(job).save("renewal", {"only_card": only_card})
        if only_card:
            return StageDone(next=Stage.CARD)
        answer = stages.plan(self._conversion(job, cancelled))
        self.results.put(job.id, "plan", answer)
        if self._is_recorded(job, answer["versions"]):
            raise AlreadyPublished(
                "these variants are published already, from the same commit and with the same versions",
                where=job.repo,
                hint="`hubbot published` lists them",
            )
        return StageDone(predicted_ram_bytes=answer["memory_bytes"], predicted_disk_bytes=answer["disk_bytes"])

    def _fetch(self, job: Job, cancelled: threading.Event) -> Outcome:
        stages.fetch(self._conversion(job, cancelled))
        return StageDone()

    def _convert(self, job: Job, cancelled: threading.Event) -> Outcome:
        for artifact in stages.convert(self._conversion(job, cancelled)):
            self.results.put(job.id, "artifact", artifact.to_json(), artifact.variant)
        return StageDone()

    def _verify(self, job: Job, cancelled: threading.Event) -> Outcome:
        reports = stages.verify(self._conversion(job, cancelled))
        for report in reports:
            self.results.put(job.id, "report", report.to_json(), report.artifact.variant)
        for report in reports:
            report.approve()
        return StageDone()

    def _smoke(self, job: Job, cancelled: threading.Event) -> Outcome:
        conversion = self._conversion(job, cancelled)
        for variant in job.variants:
            folder = conversion.workspace.made(variant)
            record = conversion.ask("smoke", self.settings.smoke_request(folder))
            conversion.workspace.save(f"smoke-{variant}", record)
            self.results.put(job.id, "smoke", record, variant)
        return StageDone()

    def _card(self, job: Job, cancelled: threading.Event) -> Outcome:
        conversion = self._conversion(job, cancelled)
        workspace, targets = conversion.workspace, self._targets(cancelled)
        made_now = () if self._is_only_card(workspace) else job.variants
        reports = [workspace.report(variant) for variant in made_now]
        smoke_records = {variant: workspace.load(f"smoke-{variant}") for variant in made_now}
        names = {variant: targets.name(job, variant) for variant in job.variants}
        published = within(None, cancelled, lambda: self._published(targets.hub, job, names), grace=STOP_SECONDS)
        setting = card.Setting(
            endpoint=targets.hub.endpoint,
            homepage=self.settings.homepage,
            today=self.clock().date().isoformat(),
            without_licence_as_other=self.settings.without_licence == "other",
        )
        stages.write_cards(
            conversion,
            workspace.artifacts() if made_now else (),
            reports,
            smoke_records,
            names.__getitem__,
            setting=setting,
            published=published,
        )
        others = {item.variant: item.repo_id for item in published if item.variant not in made_now}
        workspace.save("cards", others)
        return StageDone()

    def _published(self, hub: Hub, job: Job, names: Mapping[str, str]) -> list[Made]:
        """Return what stands on the Hub of this job's source; the job's variants are noted as current."""
        recorded = [item.target_repo for item in self.results.publications(job.repo)]
        found: list[Made] = []
        for item in published_of(hub, [*names.values(), *recorded]):
            is_new = item.repo_id in names.values() and item.mark["source"]["revision"] != job.revision
            named = item.mark["source"]["repo"]
            is_ours = named == job.repo or hub.present_name(named) == job.repo
            if is_ours and all(item.variant != other.variant for other in found):
                found.append(replace(item, current_at=job.revision) if is_new else item)
        return found

    def _is_only_card(self, workspace: Workspace) -> bool:
        return bool(workspace.has("renewal") and workspace.load("renewal")["only_card"])

    def _publish(self, job: Job, cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        if self._is_recorded(job, self._planned_versions(job)):
            # Killed between the last publication and its being written down in the job.
            workspace.remove()
            return Published()
        workspace.check_format()
        self.hub.require_token()
        checkpoint = workspace.checkpoint()
        publishing = Publishing(
            settings=self.settings,
            targets=self._targets(cancelled),
            results=self.results,
            job=job,
            workspace=workspace,
            cancelled=cancelled,
        )
        for done, variant in enumerate(() if self._is_only_card(workspace) else job.variants):
            if cancelled.is_set():
                raise Interrupted("publish was stopped")
            self.on_progress(job, done, len(job.variants), variant)
            publishing.publish(checkpoint, variant, self._planned_versions(job))
        publishing.renew_cards(checkpoint)
        workspace.remove()
        return Published()

    def _refuse_older(self, job: Job, hub: Hub) -> None:
        """Raise Superseded where a newer revision is published: publish would refuse it after all the work."""
        if job.allow_older:
            return
        for item in self.results.publications(job.repo):
            if item.variant in job.variants:
                publish.refuse_older(hub, job.repo, job.revision, item.source_revision)

    def _planned_versions(self, job: Job) -> Mapping[str, str]:
        planned = self.results.get(job.id, "plan") or {}
        versions: Mapping[str, str] = planned.get("versions", {})
        return versions

    def _is_recorded(self, job: Job, versions: Mapping[str, str]) -> bool:
        recorded = {
            item.variant
            for item in self.results.publications(job.repo)
            if item.source_revision == job.revision and item.report.get("versions") == dict(versions)
        }
        return recorded >= set(job.variants)

    def _targets(self, cancelled: threading.Event) -> Targets:
        # A Hub may take in an upload without end, and only the end of a process ends it.
        hub = self.hub.until(cancelled).sending_by(upload_in_child(self.settings, cancelled))
        return Targets(settings=self.settings, hub=hub, results=self.results, queue=self.queue)

    def _conversion(self, job: Job, cancelled: threading.Event) -> Conversion:
        hub = self.hub.until(cancelled)
        return Conversion(
            workspace=self.workspace(job),
            settings=self.settings,
            open_source=lambda: hub.open(job.repo, job.revision),
            origin=hub,
            variants=job.variants,
            strategy=self._strategy,
            call=child.caller(self.settings, cancelled, kept=self.children, owner=job.id),
            show=lambda _title: nullcontext(self._progress_of(job, cancelled)),
        )

    def _strategy(self, checkpoint: Checkpoint) -> SourceStrategy:
        if self.settings.free_source and not has_pickles(checkpoint):
            return ShardByShard(judged=True)
        return WholeSource()

    def _progress_of(self, job: Job, cancelled: threading.Event) -> Progress:
        """Return the stage's progress callback: shows it, saves it for other processes, and obeys `cancelled`."""
        saved = -math.inf

        def progress(done: int, total: int, label: str) -> None:
            nonlocal saved
            if cancelled.is_set():
                raise Interrupted(f"{job.stage} was stopped")
            self.on_progress(job, done, total, label)
            now = time.monotonic()
            if now - saved >= SAVED_SECONDS or done == total:
                saved = now
                record = {"stage": job.stage, "done": done, "total": total, "what": label}
                self.results.put(job.id, "progress", record)

        return progress


def runtime_key() -> str:
    """Return the runtime's versions; a job parked with NoRuntime is retried when any of them changes."""
    return ", ".join(f"{package} {runtimes.version(package)}" for package in ("mlx-lm", "mlx", "transformers"))


def recipe_key(variants: tuple[str, ...], *, text_only: bool = False) -> str:
    """Return the key under which jobs for the same repo and revision are one job: the variants, sorted.

    With `text_only` the artifacts are others: a tower is left out where one could be kept.
    """
    return "+".join(sorted(variants)) + (", text only" if text_only else "")


def check_wanted(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise LicenceForbids or TooLarge where the settings want no such checkpoint."""
    forbidden = [licence for licence in checkpoint.licences if licence not in settings.licences]
    if settings.licences and (forbidden or not checkpoint.licences):
        unread = f"the card's metadata cannot be read: {checkpoint.card_problem}; the licence is unknown and"
        told = f"licence {', '.join(forbidden) or 'unknown'}" if checkpoint.card_problem is None else unread
        raise LicenceForbids(
            f"{told} is not one of {', '.join(settings.licences)}",
            where=checkpoint.repo.id,
            hint="the setting `licences` lists those that hubbot may publish",
        )
    if settings.max_gigabytes is not None and checkpoint.weight_bytes > settings.max_gigabytes * 1e9:
        raise TooLarge(
            f"the weights have {readable(checkpoint.weight_bytes)}, the limit is "
            f"{readable(settings.max_gigabytes * 1e9)}",
            where=checkpoint.repo.id,
            hint="the setting `max_gigabytes` holds the limit",
        )
