import json
from pathlib import Path
from typing import Any

from hubbot import finishing
from hubbot.artifacts import Report
from hubbot.checks.values.window_findings import WindowFindings
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


def test_artifacts_verified_together_get_the_reports_that_each_gets_alone(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = workshop.source(SOURCE)
    torn = workshop.copy(SOURCE, "8bit", tmp_path / "torn")
    (weights,) = torn.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    folders = [workshop.artifact(SOURCE, "4bit"), torn, workshop.artifact(SOURCE, "mxfp4")]

    def plain(report: Report) -> dict[str, Any]:
        return report.to_json() | {"seconds": sorted(report.seconds)}

    alone = [
        step.verify(source.checkpoint, source=source.folder, artifact=one, progress=quietly, tracer=TRACER)
        for one in folders
    ]
    together = step.verify_each(
        source.checkpoint, source=source.folder, artifacts=dict.fromkeys(folders), progress=quietly, tracer=TRACER
    )
    assert [plain(report) for report in together] == [plain(report) for report in alone]
    assert [report.verdict for report in alone] == ["approved", "refused", "approved"]


def test_a_part_judged_for_two_artifacts_in_one_pass_is_judged_as_for_each_alone(workshop: Workshop) -> None:
    source = workshop.source(SOURCE)
    folders = [workshop.artifact(SOURCE, name) for name in ("4bit", "bf16")]
    names = ["model.embed_tokens.weight", "model.norm.weight", "no.such.weight"]

    def judged(some: list[Path]) -> list[WindowFindings]:
        return step.verify_part(
            source.checkpoint, source=source.folder, artifacts=some, names=names, progress=quietly
        )

    together = judged(folders)
    assert together == [*judged(folders[:1]), *judged(folders[1:])]
    assert [found.names for found in together] == [tuple(names[:2])] * 2
    assert all(finding.status == "pass" for found in together for finding in found.findings)
