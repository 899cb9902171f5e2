import json
from pathlib import Path

from hubbot import finishing
from hubbot.steps import verify as step
from tests.checkpoints_on_disk import TRACER, Workshop, edit_json, quietly

SOURCE = "qwen3_moe/square/hub"


def test_an_approved_artifact_is_marked_and_stays_approved(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source(SOURCE)
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "4bit")
    before = (folder / "hubbot.json").read_bytes()
    report = step.verify(source.checkpoint, source=source.folder, artifact=folder, progress=quietly, tracer=TRACER)
    assert report.verdict == "approved"
    assert (folder / "hubbot.json").read_bytes() == before
    finishing.record(report)
    assert json.loads((folder / "hubbot.json").read_text())["verified"] is True
    again = step.verify(source.checkpoint, source=source.folder, artifact=folder, progress=quietly, tracer=TRACER)
    assert again.verdict == "approved"


def test_a_refused_artifact_loses_its_mark_of_approval(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source(SOURCE)
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "4bit")
    edit_json(folder / "hubbot.json", verified=True)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    report = step.verify(source.checkpoint, source=source.folder, artifact=folder, progress=quietly, tracer=TRACER)
    finishing.record(report)
    assert report.verdict == "refused"
    assert json.loads((folder / "hubbot.json").read_text())["verified"] is False


def test_an_artifact_of_somebody_else_gets_no_mark(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source(SOURCE)
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "4bit")
    (folder / "hubbot.json").unlink()
    finishing.record(
        step.verify(source.checkpoint, source=source.folder, artifact=folder, progress=quietly, tracer=TRACER)
    )
    assert not (folder / "hubbot.json").exists()
