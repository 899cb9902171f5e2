"""The folder of one conversion: what each stage leaves there for the next, so that a killed conversion resumes.

Every file is written aside and renamed; a stage whose input is missing, torn or in the format of another version
raises WorkLost, and the conversion starts over.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Report
from hubbot.checkpoints import Checkpoint
from hubbot.errors import WorkLost
from hubbot.files.atomic_folders import write_file
from hubbot.finishing import CONFIG
from hubbot.plans import FORMAT, Layout, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The files of one conversion under `root`; source and variants may be in folders elsewhere."""

    root: Path
    source_folder: Path | None = None
    out_folder: Path | None = None

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "Workspace":
        """Return the workspace that `to_request` names."""
        source, out = request.get("source"), request.get("out")
        return cls(
            root=Path(request["root"]),
            source_folder=Path(source) if source else None,
            out_folder=Path(out) if out else None,
        )

    def to_request(self) -> dict[str, str]:
        """Return the folders as plain data, for a child process."""
        return {"root": str(self.root), "source": str(self.source), "out": str(self.out)}

    @property
    def source(self) -> Path:
        """Return the folder with the source's files, by default where they are fetched to."""
        return self.source_folder or self.root / "source"

    @property
    def out(self) -> Path:
        """Return the folder in which DIR/<variant>/ is made."""
        return self.out_folder or self.root / "out"

    @property
    def cards(self) -> Path:
        """Return where the cards of variants stand that are published already and not made anew."""
        return self.root / "cards"

    @property
    def answers(self) -> Path:
        """Return where the unquantized model's answers are kept for the next variant."""
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

    def forget_decisions(self) -> None:
        """Delete layout and plan: a job that starts again decides anew, and may find those of another version."""
        for name in ("layout", "plan"):
            (self.root / f"{name}.json").unlink(missing_ok=True)

    def load(self, name: str) -> Any:
        """Return what was saved as `name`, or raise WorkLost where it is gone."""
        path = self.root / f"{name}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorkLost(f"{name}.json of the job is missing or torn", where=str(path)) from error

    def checkpoint(self) -> Checkpoint:
        """Return what inspect saved; raises WorkLost where it is gone."""
        return Checkpoint.from_json(self.load("checkpoint"))

    def is_of(self, revision: str) -> bool:
        """Say whether all that is here belongs to a source at that commit; True where nothing is here."""
        if not self.root.exists():
            return True
        try:
            return bool(self.load("checkpoint")["repo"]["revision"] == revision)
        except (WorkLost, LookupError, TypeError):
            return False

    def check_weights(self, checkpoint: Checkpoint) -> None:
        """Raise WorkLost unless every weight file of the checkpoint is here, fetched or staged."""
        lost = next((shard for shard in checkpoint.shards if not (self.source / shard).is_file()), None)
        if lost is not None:
            raise WorkLost(f"{lost} of the job's source is gone", where=str(self.source))

    def save_layout(self, layout: Layout) -> None:
        """Write what classify found."""
        self.save("layout", {"format": FORMAT, "layout": layout.to_json()})

    def layout(self) -> Layout:
        """Return what classify saved, or raise WorkLost where it is not there in this version's format."""
        return Layout.from_json(self._of_this_format("layout")["layout"])

    def save_plan(self, plan: Plan) -> None:
        """Write what plan decided."""
        self.save("plan", {"format": FORMAT, "plan": plan.to_json()})

    def plan(self) -> Plan:
        """Return what plan saved, or raise WorkLost where it is not there in this version's format."""
        return Plan.from_json(self._of_this_format("plan")["plan"])

    def check_format(self) -> None:
        """Raise WorkLost where layout or plan were saved in the format of another version."""
        for name in ("layout", "plan"):
            if self.has(name):
                self._of_this_format(name)

    def _of_this_format(self, name: str) -> Any:
        data = self.load(name)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise WorkLost(
                f"{name}.json of the job was written by another version", where=str(self.root / f"{name}.json")
            )
        return data

    def artifacts(self) -> list[Artifact]:
        """Return what convert saved; raises WorkLost where it is gone."""
        return [Artifact.from_json(item) for item in self.load("artifacts")]

    def report(self, variant: str) -> Report:
        """Return what verify saved for one variant; raises WorkLost where it is gone."""
        return Report.from_json(self.load(f"report-{variant}"))

    def forget(self) -> None:
        """Delete what the stages saved; the source's files stay."""
        for path in self.root.glob("*.json"):
            path.unlink()
        shutil.rmtree(self.answers, ignore_errors=True)

    def remove(self) -> None:
        """Delete the whole folder; source and variants that are elsewhere stay."""
        shutil.rmtree(self.root, ignore_errors=True)


def judged_name(variant: str, window: int) -> str:
    """Return the name under which the values gate's findings on one window of one variant are saved."""
    return f"judged-{variant}-{window}"
