"""`hubbot convert --free-source`: shards come as the plan needs them, and go when nothing needs them any more."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Report
from hubbot.cli.arguments import is_folder
from hubbot.cli.bars import bar
from hubbot.cli.conversions import Conversion, in_child
from hubbot.errors import NeedsHuman, WrongUsage
from hubbot.jobs.windowed_pipeline import Freeing
from hubbot.jobs.workspace import Workspace
from hubbot.pickles.pickle_files import has_pickles
from hubbot.plans import Plan
from hubbot.settings import Settings
from hubbot.steps import fetch, verify
from hubbot.steps.convert import move_into_place, prepare
from hubbot.windows import peak_shard_bytes, windows_of


class FreedConversion(Conversion):
    """One `hubbot convert --free-source`; with `judged` a shard goes only after the values gate saw its use."""

    def __init__(self, *, settings: Settings, source: str, revision: str | None, out: Path, judged: bool) -> None:
        if is_folder(source):
            raise WrongUsage(
                "--free-source deletes weights, and never those of a folder that hubbot did not download",
                where=source,
                hint="leave it out, or give a repo id",
            )
        super().__init__(settings=settings, source=source, revision=revision, out=out)
        if has_pickles(self._checkpoint):
            raise NeedsHuman(
                "--free-source needs safetensors: pickled weights are staged as a whole", where=source,
                hint="leave --free-source out",
            )  # fmt: skip
        self._judged = judged
        self._reports: list[Report] = []

    def convert(self, plan: Plan) -> tuple[Artifact, ...]:
        """Fetch, convert, judge and release window by window; then put the variants in their places."""
        prepare(self._out, plan)
        workspace = Workspace(root=self._out / ".freed")
        if not workspace.has("plan") or workspace.plan() != plan:
            workspace.remove()
            workspace.save("checkpoint", self._checkpoint.to_json())
            workspace.save("plan", plan.to_json())
        Freeing(
            workspace=workspace,
            working_bytes=self._settings.working_bytes,
            shard_bytes=self._settings.shard_bytes,
            judged=self._judged,
            fetch=lambda shards: self._fetch(workspace, shards),
            child=lambda stage, request: self._child(workspace, stage, request),
        ).run()
        if self._judged:
            variants = [variant.name for variant in plan.variants]
            self._child(workspace, "verify", {"variants": variants, "examination": self._settings.examination})
            self._reports = [workspace.report(name) for name in variants]
        artifacts = tuple(move_into_place(artifact, self._out) for artifact in workspace.artifacts())
        places = {artifact.variant: artifact for artifact in artifacts}
        self._reports = [replace(report, artifact=places[report.artifact.variant]) for report in self._reports]
        workspace.remove()
        return artifacts

    def peak_disk_bytes(self, plan: Plan) -> int:
        """Return the most that is on disk at once: all variants, and the shards that one window needs."""
        windows = windows_of(plan, self._checkpoint.tensors, self._settings.shard_bytes)
        return plan.disk_bytes + peak_shard_bytes(windows, self._shard_sizes())

    def verify(self, artifacts: Sequence[Artifact]) -> list[Report]:
        """Return what was found while the source was here, and mark what is approved."""
        del artifacts
        for report in self._reports:
            if report.verdict == "approved":
                verify.record(report)
        return self._reports

    def _fetch(self, workspace: Workspace, shards: Sequence[str]) -> None:
        from hubbot.hub.client import default_hub

        with bar("fetch") as tell:
            fetch.fetch(
                workspace.checkpoint(), default_hub(), workspace.source, room_for=0, progress=tell, shards=shards
            )

    def _child(self, workspace: Workspace, stage: str, request: dict[str, Any]) -> dict[str, Any]:
        with bar(stage.replace("_", " ")) as tell:
            return in_child(stage, {"root": str(workspace.root), **request}, self._settings, tell)
