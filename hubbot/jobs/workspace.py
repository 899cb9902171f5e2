"""The folder of one job: what each stage leaves there for the next, so that a killed job resumes.

Every file is written aside and renamed; a stage that finds its input missing or torn starts the job over.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Report
from hubbot.checkpoints import Checkpoint
from hubbot.errors import WorkLost
from hubbot.files.atomic_folders import write_file
from hubbot.finishing import CONFIG
from hubbot.plans import Layout, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The files of one job under `root`."""

    root: Path

    @property
    def source(self) -> Path:
        """Return where the source's files are fetched to."""
        return self.root / "source"

    @property
    def out(self) -> Path:
        """Return where the variants are made."""
        return self.root / "out"

    @property
    def answers(self) -> Path:
        """Return where the unquantized model's answers wait for the next variant."""
        return self.root / "answers"

    def variant(self, name: str) -> Path:
        """Return the folder of one variant."""
        return self.out / name

    def made(self, name: str) -> Path:
        """Return the folder of one variant, or raise WorkLost where it is gone."""
        folder = self.variant(name)
        if not (folder / CONFIG).is_file():
            raise WorkLost(f"variant {name} of the job is gone", where=str(folder))
        return folder

    def save(self, name: str, data: Any) -> None:
        """Write `data` as NAME.json, whole or not at all."""
        self.root.mkdir(parents=True, exist_ok=True)
        write_file(self.root / f"{name}.json", json.dumps(data).encode())

    def has(self, name: str) -> bool:
        """Say whether something was saved as `name`."""
        return (self.root / f"{name}.json").is_file()

    def load(self, name: str) -> Any:
        """Return what was saved as `name`, or raise WorkLost where it is gone."""
        path = self.root / f"{name}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkLost(f"{name}.json of the job is missing or torn", where=str(path)) from error

    def checkpoint(self) -> Checkpoint:
        """Return what inspect saved."""
        return Checkpoint.from_json(self.load("checkpoint"))

    def check_weights(self) -> None:
        """Raise WorkLost unless every weight file of the checkpoint is here, fetched or staged."""
        lost = next((shard for shard in self.checkpoint().shards if not (self.source / shard).is_file()), None)
        if lost is not None:
            raise WorkLost(f"{lost} of the job's source is gone", where=str(self.source))

    def layout(self) -> Layout:
        """Return what classify saved."""
        return Layout.from_json(self.load("layout"))

    def plan(self) -> Plan:
        """Return what plan saved."""
        return Plan.from_json(self.load("plan"))

    def artifacts(self) -> list[Artifact]:
        """Return what convert saved."""
        return [Artifact.from_json(item) for item in self.load("artifacts")]

    def report(self, variant: str) -> Report:
        """Return what verify saved for one variant."""
        return Report.from_json(self.load(f"report-{variant}"))

    def remove(self) -> None:
        """Delete the whole folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def judged_name(variant: str, window: int) -> str:
    """Return the name under which a workspace keeps what was found on one window of one variant."""
    return f"judged-{variant}-{window}"
