"""One job, one stage: calls the step, keeps what it made in the job's workspace, returns the outcome.

Light stages run here, heavy ones in a child process without a token. It never decides when a job is tried
again (states.py, retry.py) and never judges an artifact itself.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hubbot.catalogue import runtimes
from hubbot.checkpoints import Checkpoint
from hubbot.errors import AlreadyPublished, HubbotError, LicenceForbids, TooLarge, WorkLost
from hubbot.hub.client import Hub
from hubbot.jobs import child
from hubbot.jobs.windowed_pipeline import Freeing
from hubbot.jobs.workspace import Workspace
from hubbot.lifecycle import Job, Outcome, Published, Refused, Stage, StageDone
from hubbot.pickles.pickle_files import has_pickles
from hubbot.progress import Progress
from hubbot.settings import Settings
from hubbot.steps import card, classify, fetch, inspect, publish, verify
from hubbot.store.results import Results

# How often a stage's progress is written into the database.
NOTED_SECONDS = 10.0


class OnProgress(Protocol):
    """Tell a display how far a stage is."""

    def __call__(self, job: Job, done: int, total: int, what: str) -> None:
        """Take the job, the amount done of the total, and what it is at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The stages of a job under one set of settings."""

    settings: Settings
    hub: Hub
    results: Results
    on_progress: OnProgress

    def run_stage(self, job: Job, cancelled: threading.Event) -> Outcome:
        """Run the job's present stage and return what came of it."""
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

    def _inspect(self, job: Job, _cancelled: threading.Event) -> Outcome:
        found = inspect.inspect(self.hub.open(job.repo, job.revision))
        _check_wanted(found, self.settings)
        self.workspace(job).save("checkpoint", found.to_json())
        summary = {"tensors": len(found.tensors), "bytes": found.weight_bytes, "shards": len(found.shards)}
        cost = {"requests": found.requests, "bytes_read": found.bytes_read}
        self.results.put(job.id, "checkpoint", {"model_type": found.model_type, **summary, **cost})
        return StageDone()

    def _classify(self, job: Job, _cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        layout = classify.classify(workspace.checkpoint())
        if not self.settings.extensions:
            classify.refuse_extension(workspace.checkpoint())
        workspace.save_layout(layout)
        self.results.put(job.id, "layout", layout.to_json())
        return StageDone()

    def _plan(self, job: Job, cancelled: threading.Event) -> Outcome:
        for variant in job.variants:
            # Better to learn before the work than after it that there is nowhere to publish.
            publish.target_id(self.settings.org, self.settings.repo_name, job.repo, variant)
        request = {"variants": list(job.variants), "working_bytes": self.settings.working_bytes}
        answer = self._child(job, cancelled, "plan", request)
        self.results.put(job.id, "plan", answer)
        if self._is_recorded(job, answer["versions"]):
            raise AlreadyPublished(
                "these variants are published already, from the same commit and with the same versions",
                where=job.repo,
                hint="`hubbot published` lists them",
            )
        return StageDone(predicted_ram_bytes=answer["memory_bytes"], predicted_disk_bytes=answer["disk_bytes"])

    def _fetch(self, job: Job, cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        note = self._noted(job)

        def tell(done: int, total: int, what: str) -> None:
            if cancelled.is_set():
                raise child.Interrupted("fetch was stopped")
            note(done, total, what)

        checkpoint = workspace.checkpoint()
        if self._frees(checkpoint):
            # The shards come with their windows; all else is small.
            fetch.fetch(checkpoint, self.hub, workspace.source, room_for=0, progress=tell, shards=())
            return StageDone()
        staging = has_pickles(checkpoint)
        room = workspace.plan().disk_bytes + (checkpoint.weight_bytes if staging else 0)
        fetch.fetch(checkpoint, self.hub, workspace.source, room_for=room, progress=tell)
        if staging:
            request = {"source": str(workspace.source), "shard_bytes": self.settings.shard_bytes}
            self._child(job, cancelled, "stage", request)
            for shard in checkpoint.shards:
                (workspace.source / shard).unlink(missing_ok=True)
        workspace.check_weights()
        return StageDone()

    def _convert(self, job: Job, cancelled: threading.Event) -> Outcome:
        bounds = {"working_bytes": self.settings.working_bytes, "shard_bytes": self.settings.shard_bytes}
        workspace = self.workspace(job)
        if self._frees(workspace.checkpoint()):
            answer = self._freeing(job, cancelled, workspace, bounds).run()
        else:
            workspace.check_weights()
            answer = self._child(job, cancelled, "convert", bounds)
        for made in answer["variants"]:
            self.results.put(job.id, "artifact", made, made["variant"])
        return StageDone()

    def _frees(self, checkpoint: Checkpoint) -> bool:
        return self.settings.free_source and not has_pickles(checkpoint)

    def _freeing(
        self, job: Job, cancelled: threading.Event, workspace: Workspace, bounds: Mapping[str, int]
    ) -> Freeing:
        note = self._noted(job)

        def tell(done: int, total: int, what: str) -> None:
            if cancelled.is_set():
                raise child.Interrupted("fetch was stopped")
            note(done, total, what)

        def bring(shards: Sequence[str]) -> None:
            checkpoint = workspace.checkpoint()
            fetch.fetch(checkpoint, self.hub, workspace.source, room_for=0, progress=tell, shards=shards)

        return Freeing(
            workspace=workspace,
            working_bytes=bounds["working_bytes"],
            shard_bytes=bounds["shard_bytes"],
            judged=True,
            fetch=bring,
            child=lambda stage, request: self._child(job, cancelled, stage, request),
        )

    def _verify(self, job: Job, cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        request = {"variants": list(job.variants), "examination": self.settings.examination}
        self._child(job, cancelled, "verify", request)
        reports = [workspace.report(variant) for variant in job.variants]
        for report in reports:
            self.results.put(job.id, "report", report.to_json(), report.artifact.variant)
        for report in reports:
            report.approve()
            verify.record(report)
        return StageDone()

    def _smoke(self, job: Job, cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        for variant in job.variants:
            request = {"folder": str(workspace.made(variant)), "max_tokens": self.settings.smoke_tokens}
            record = self._child(job, cancelled, "smoke", request)
            workspace.save(f"smoke-{variant}", record)
            self.results.put(job.id, "smoke", record, variant)
        return StageDone()

    def _card(self, job: Job, _cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        checkpoint, plan = workspace.checkpoint(), workspace.plan()
        made = [
            card.Made(
                artifact=artifact,
                report=workspace.report(artifact.variant),
                smoke=workspace.load(f"smoke-{artifact.variant}"),
            )
            for artifact in workspace.artifacts()
        ]
        for variant in job.variants:
            target = publish.target_id(self.settings.org, self.settings.repo_name, job.repo, variant)
            card.write_card(checkpoint, plan, made, variant, target)
        return StageDone()

    def _publish(self, job: Job, cancelled: threading.Event) -> Outcome:
        workspace = self.workspace(job)
        if self._is_recorded(job, self._planned_versions(job)):
            # Killed between the last publication and its being written down in the job.
            workspace.remove()
            return Published()
        workspace.check_format()
        self.hub.require_token()
        checkpoint = workspace.checkpoint()
        for done, variant in enumerate(job.variants):
            if cancelled.is_set():
                raise child.Interrupted("publish was stopped")
            self.on_progress(job, done, len(job.variants), variant)
            self._publish_one(job, workspace, checkpoint, variant)
        workspace.remove()
        return Published()

    def _planned_versions(self, job: Job) -> Mapping[str, str]:
        planned = self.results.get(job.id, "plan") or {}
        versions: Mapping[str, str] = planned.get("versions", {})
        return versions

    def _is_recorded(self, job: Job, versions: Mapping[str, str]) -> bool:
        found = {
            item.variant
            for item in self.results.publications(job.repo)
            if item.source_revision == job.revision and item.report.get("versions") == dict(versions)
        }
        return found >= set(job.variants)

    def _publish_one(self, job: Job, workspace: Workspace, checkpoint: Checkpoint, variant: str) -> None:
        report = workspace.report(variant)
        published = publish.publish(
            report.approve(),
            checkpoint,
            hub=self.hub,
            repo_id=publish.target_id(self.settings.org, self.settings.repo_name, job.repo, variant),
            collection=self.settings.collection,
        )
        self.results.record_publication(
            source_repo=job.repo,
            source_revision=job.revision,
            variant=variant,
            target_repo=published.repo_id,
            target_revision=published.revision,
            bits_per_weight=report.artifact.bits_per_weight,
            size_bytes=report.artifact.nbytes,
            report={
                "verdict": report.verdict,
                "gates": report.gates,
                "url": published.url,
                "versions": dict(self._planned_versions(job)),
            },
        )

    def _noted(self, job: Job) -> Progress:
        """Return a function that shows how far the stage is, and writes it down for whoever asks elsewhere."""
        written = -math.inf

        def note(done: int, total: int, what: str) -> None:
            nonlocal written
            self.on_progress(job, done, total, what)
            now = time.monotonic()
            if now - written >= NOTED_SECONDS or done == total:
                written = now
                progress = {"stage": job.stage, "done": done, "total": total, "what": what}
                self.results.put(job.id, "progress", progress)

        return note

    def _child(self, job: Job, cancelled: threading.Event, stage: str, request: dict[str, Any]) -> dict[str, Any]:
        note = self._noted(job)

        def tell(fields: dict[str, Any]) -> None:
            note(fields["done"], fields["total"], fields["what"])

        root = self.workspace(job).root
        limit = self.settings.smoke_seconds if stage == "smoke" else self.settings.stage_hours * 3600
        return child.run(
            [stage],
            {"root": str(root), **request},
            timeout_seconds=limit,
            cancelled=cancelled,
            on_progress=tell,
            **child.child_settings(self.settings),
        )


def runtime_key() -> str:
    """Return what a job that parks for want of a runtime waits to see changed."""
    return f"mlx-lm {runtimes.version()}"


def recipe_key(variants: tuple[str, ...]) -> str:
    """Return what makes two jobs for the same revision the same job."""
    return "+".join(sorted(variants))


def _check_wanted(checkpoint: Checkpoint, settings: Settings) -> None:
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
            f"the weights have {checkpoint.weight_bytes / 1e9:.1f} GB, the limit is {settings.max_gigabytes} GB",
            where=checkpoint.repo.id,
            hint="the setting `max_gigabytes` holds the limit",
        )
