"""A conversion from the command line: stage the source, plan, convert, judge in a child, write the cards."""

import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hubbot.artifacts import Artifact, Report
from hubbot.catalogue.variants import Variant
from hubbot.checkpoints import Checkpoint
from hubbot.cli.bars import bar
from hubbot.cli.sources import is_folder, open_source
from hubbot.jobs import child
from hubbot.jobs.workspace import Workspace
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

    def fetch(self, checkpoint: Checkpoint, progress: Progress) -> Path:
        """Return the folder with the weights, downloading them where SOURCE is a repo id."""
        if is_folder(self.source):
            return Path(self.source).expanduser().resolve()
        from hubbot.hub.client import default_hub

        return fetch.fetch(checkpoint, default_hub(), self.folder, room_for=0, progress=progress)


class Conversion:
    """One `hubbot convert`."""

    def __init__(self, *, settings: Settings, source: str, revision: str | None, out: Path) -> None:
        self._settings = settings
        self._out = out.expanduser().resolve()
        # Kept until the conversion is done, so that an interrupted download goes on.
        self._staging = Staging(source=source, revision=revision, folder=self._out / ".source")
        self._checkpoint = self._staging.checkpoint()

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

    def convert(self, plan: Plan) -> tuple[Artifact, ...]:
        """Fetch what is not here, and convert."""
        from hubbot.steps import convert

        with bar("fetch") as tell:
            source = self._staging.fetch(self._checkpoint, tell)
        bounds = convert.Bounds(working_bytes=self._settings.working_bytes, shard_bytes=self._settings.shard_bytes)
        with bar("convert") as tell:
            return convert.convert(
                self._checkpoint, plan, source=source, out=self._out, bounds=bounds, progress=tell
            )

    def verify(self, artifacts: Sequence[Artifact]) -> list[Report]:
        """Judge every artifact, each in a child process."""
        reports = []
        source = self._staging.fetch(self._checkpoint, lambda *_: None)
        answers = self._out / ".judge-answers"
        for artifact in artifacts:
            root = self._out / f".judge-{artifact.variant}"
            with bar(f"verify {artifact.variant}") as tell:
                trial = Trial(source=source, artifact=Path(artifact.path), root=root, answers=answers)
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
    answer = child.run(
        ["verify_folder"],
        {
            "root": str(trial.root),
            "source": str(trial.source),
            "artifact": str(trial.artifact),
            "examination": {**settings.examination, "answers": str(trial.answers)},
        },
        timeout_seconds=settings.stage_hours * 3600,
        cancelled=threading.Event(),
        on_progress=lambda fields: progress(fields["done"], fields["total"], fields["what"]),
        **child.child_settings(settings),
    )
    return Report.from_json(answer)
