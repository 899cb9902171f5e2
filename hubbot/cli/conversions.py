"""A conversion from the command line: stage the source, plan, convert, judge in a child, write the cards."""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Report
from hubbot.catalogue.variants.named_variants import Variant
from hubbot.checkpoints import Checkpoint
from hubbot.cli.arguments import is_folder, open_source
from hubbot.cli.bars import bar
from hubbot.jobs import child
from hubbot.jobs.workspace import Workspace
from hubbot.pickles.pickle_files import has_pickles, is_pickled
from hubbot.plans import Plan
from hubbot.progress import Progress
from hubbot.settings import Settings
from hubbot.steps import card, classify, fetch, inspect, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """Where a source's weights are read: its own folder, or `folder` after a download."""

    source: str
    revision: str | None
    folder: Path

    def checkpoint(self) -> Checkpoint:
        """Return the source without its weights."""
        return inspect.inspect(open_source(self.source, self.revision))

    def fetch(self, checkpoint: Checkpoint, progress: Progress, *, room_for: int = 0) -> Path:
        """Return the folder with the weights, downloading them (and room for more) from a repo id."""
        if is_folder(self.source):
            return Path(self.source).expanduser().resolve()
        from hubbot.hub.client import default_hub

        room = room_for + (checkpoint.weight_bytes if has_pickles(checkpoint) else 0)
        return fetch.fetch(checkpoint, default_hub(), self.folder, room_for=room, progress=progress)

    def bring(self, checkpoint: Checkpoint, settings: Settings, *, room_for: int = 0) -> tuple[Checkpoint, Path]:
        """Return the checkpoint with a folder that holds its weights as safetensors; pickled ones are staged."""
        with bar("fetch") as tell:
            source = self.fetch(checkpoint, tell, room_for=room_for)
        if not has_pickles(checkpoint):
            return checkpoint, source
        staged = unpickled_in_child(checkpoint, source, self.folder, settings)
        for file in fetch.wanted(checkpoint):
            if not is_pickled(file.path):
                (staged[1] / file.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / file.path, staged[1] / file.path)
        return staged


def unpickled_in_child(
    checkpoint: Checkpoint, source: Path, folder: Path, settings: Settings
) -> tuple[Checkpoint, Path]:
    """Stage the pickled weights of folder `source` under `folder`; return the checkpoint they are and where."""
    workspace = Workspace(root=folder / ".stage")
    workspace.save("checkpoint", checkpoint.to_json())
    request = {"root": str(workspace.root), "source": str(source), "shard_bytes": settings.shard_bytes}
    with bar("stage") as tell:
        in_child("stage", request, settings, tell)
    return workspace.checkpoint(), workspace.source


class Conversion:
    """One `hubbot convert`."""

    def __init__(self, *, settings: Settings, source: str, revision: str | None, out: Path) -> None:
        self._settings = settings
        self._out = out.expanduser().resolve()
        # Kept until the conversion is done, so that an interrupted download goes on.
        self._staging = Staging(source=source, revision=revision, folder=self._out / ".source")
        self._checkpoint = self._staging.checkpoint()
        self._source: Path | None = None

    def plan(self, variants: Sequence[str | Variant]) -> Plan:
        """Return the plan for `variants`."""
        from hubbot.steps import plan

        for item in variants:
            if isinstance(item, str):
                plan.variant_named(item)  # before the slow imports and the look at the source
        layout = classify.classify(self._checkpoint)
        if not self._settings.extensions:
            classify.refuse_extension(self._checkpoint)
        return plan.plan(self._checkpoint, layout, variants, working_bytes=self._settings.working_bytes)

    def peak_disk_bytes(self, plan: Plan) -> int:
        """Return the most that is on disk at once: all variants, and the source where it is downloaded."""
        here = self._checkpoint.repo.is_local
        return plan.disk_bytes + (0 if here else sum(self._shard_sizes().values()))

    def _shard_sizes(self) -> dict[str, int]:
        shards = set(self._checkpoint.shards)
        return {file.path: file.size for file in self._checkpoint.files if file.path in shards}

    def convert(self, plan: Plan) -> tuple[Artifact, ...]:
        """Fetch what is not here, and convert."""
        from hubbot.steps import convert

        self._checkpoint, source = self._staging.bring(self._checkpoint, self._settings, room_for=plan.disk_bytes)
        self._source = source
        bounds = convert.Bounds(working_bytes=self._settings.working_bytes, shard_bytes=self._settings.shard_bytes)
        with bar("convert") as tell:
            return convert.convert(
                self._checkpoint, plan, source=source, out=self._out, bounds=bounds, progress=tell
            )

    def verify(self, artifacts: Sequence[Artifact]) -> list[Report]:
        """Judge every artifact, each in a child process."""
        reports = []
        assert self._source is not None, "artifacts are made before they are judged"
        answers = self._out / ".judge-answers"
        for artifact in artifacts:
            root = self._out / f".judge-{artifact.variant}"
            with bar(f"verify {artifact.variant}") as tell:
                trial = Trial(source=self._source, artifact=Path(artifact.path), root=root, answers=answers)
                report = judge_in_child(self._settings, self._checkpoint, trial, tell)
            shutil.rmtree(root, ignore_errors=True)
            if report.verdict == "approved":
                verify.record(report)
            reports.append(report)
        shutil.rmtree(answers, ignore_errors=True)
        return reports

    def write_cards(self, plan: Plan, artifacts: Sequence[Artifact], reports: Sequence[Report]) -> None:
        """Write a card into every artifact, and drop the staged download."""
        by_variant = {report.artifact.variant: report for report in reports}
        made = [
            card.Made(artifact=artifact, report=by_variant.get(artifact.variant), smoke=None)
            for artifact in artifacts
        ]
        for artifact in artifacts:
            card.write_card(self._checkpoint, plan, made, artifact.variant, Path(artifact.path).name)
        shutil.rmtree(self._out / ".source", ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Folders of one judgement: source, artifact, the child's work, the unquantized model's answers."""

    source: Path
    artifact: Path
    root: Path
    answers: Path


def judge_in_child(settings: Settings, checkpoint: Checkpoint, trial: Trial, progress: Progress) -> Report:
    """Return the referee's report, made in a child process that has no token and no network."""
    Workspace(root=trial.root).save("checkpoint", checkpoint.to_json())
    request = {
        "root": str(trial.root),
        "source": str(trial.source),
        "artifact": str(trial.artifact),
        "examination": {**settings.examination, "answers": str(trial.answers)},
    }
    return Report.from_json(in_child("verify_folder", request, settings, progress))


def in_child(stage: str, request: dict[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the answer of a heavy stage, run in a child process that has no token and no network."""
    return child.run(
        [stage],
        request,
        timeout_seconds=settings.stage_hours * 3600,
        cancelled=threading.Event(),
        on_progress=lambda fields: progress(fields["done"], fields["total"], fields["what"]),
        **child.child_settings(settings),
    )
