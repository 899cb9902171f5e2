from pathlib import Path

import pytest

from hubbot.artifacts import Finding
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.subject import Subject, subject_of
from hubbot.checks.values import compared_slices, gate
from hubbot.checks.values.error_measure import WorstError
from tests.checkpoints_on_disk import (
    Workshop,
    converted,
    judged,
    look,
    quietly,
    read_folder,
    read_stored,
    rewrite,
    safetensors,
)
from tests.checks.values.test_alternatives import expectations
from tests.reference.checkpoints import case, write

SOURCE = "qwen3_moe/bf16"


def findings(workshop: Workshop, folder: Path) -> list[Finding]:
    expected = expectations(SOURCE, workshop)
    return list(gate.check_values(expected, StoredParameters(folder, _shapes(workshop)), quietly))


def _shapes(workshop: Workshop) -> dict[str, tuple[int, ...]]:
    stored = read_folder(workshop.artifact(SOURCE, "bf16"))
    return {name: bits.shape for name, (_, bits) in stored.items()}


@pytest.mark.parametrize("slice_bytes", [1, 1 << 12, 1 << 25])
def test_the_slices_in_which_it_reads_change_no_finding(
    slice_bytes: int, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workshop.artifact(SOURCE, "4bit")
    expected = [(f.check, f.subject, f.measured) for f in findings(workshop, folder) if f.check != "values"]
    monkeypatch.setattr(compared_slices, "SLICE_BYTES", slice_bytes)
    found = findings(workshop, folder)
    assert {f.status for f in found} == {"pass"}
    assert [(f.check, f.subject, f.measured) for f in found if f.check != "values"] == expected


@pytest.mark.parametrize(
    ("variant", "part", "row"), [("4bit", "scales", 77), ("bf16", "weight", 127), ("mxfp4", "scales", 5)]
)
def test_one_wrong_group_anywhere_is_found_and_its_place_told(
    variant: str, part: str, row: int, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(SOURCE, variant, tmp_path / "x")
    stored = read_folder(folder)
    stored[f"model.embed_tokens.{part}"][1][row, 0] ^= 1 << 4
    rewrite(folder, stored)
    (failed,) = [finding for finding in findings(workshop, folder) if finding.status == "fail"]
    assert (failed.check, failed.subject) == ("values", "model.embed_tokens.weight")
    assert failed.measured > failed.allowed


def test_a_group_that_became_zero_is_found(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, "mxfp8", tmp_path / "x")
    stored = read_folder(folder)
    stored["model.layers.0.self_attn.q_proj.weight"][1][3, :8] = 0
    rewrite(folder, stored)
    failed = [finding for finding in findings(workshop, folder) if finding.status == "fail"]
    assert [(f.check, f.measured) for f in failed] == [("zeroed groups", 1)]


def test_identical_experts_in_the_source_are_no_reason_to_refuse(tmp_path: Path) -> None:
    write(case("qwen3_moe/square/hub"), tmp_path / "source")
    path = tmp_path / "source" / "model.safetensors"
    stored = read_stored(path)
    for part in ("gate_proj", "up_proj", "down_proj"):
        stem = "model.layers.0.mlp.experts"
        stored[f"{stem}.1.{part}.weight"] = stored[f"{stem}.0.{part}.weight"]
    path.write_bytes(safetensors(stored))
    source = look(tmp_path / "source")
    for folder in converted(source, tmp_path / "out", "bf16", "4bit").values():
        assert judged(source, folder).verdict == "approved"


def test_an_artifact_that_a_gpu_made_coarser_than_need_be_is_told_and_not_refused() -> None:
    parameter = StoredParameter(
        name="x.weight", shape=(8, 64), dtype="BF16", mode="affine", bits=4, group_size=64,
        parts=("weight", "scales", "biases"),
    )  # fmt: skip
    coarse = WorstError(ratio=43.4, error=0.02, bound=0.0005, at="row 3, group 0", ties=8)
    told = gate._verdict(parameter, coarse)
    assert told.status == "pass"
    assert "coarser than need be" in told.reason
    assert "43 times the bound, row 3" in told.reason
    coarse.units = 1  # one group that no rule explains
    assert gate._verdict(parameter, coarse).status == "fail"


def test_artifacts_judged_in_one_pass_get_the_findings_that_each_gets_alone(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = workshop.source(SOURCE)
    spoiled = workshop.copy(SOURCE, "4bit", tmp_path / "spoiled")
    stored = read_folder(spoiled)
    stored["model.embed_tokens.scales"][1][7, 0] ^= 1 << 4
    rewrite(spoiled, stored)
    folders = [workshop.artifact(SOURCE, name) for name in ("bf16", "4bit", "mxfp4")] + [spoiled]

    def subjects() -> list[Subject]:
        return [subject_of(source.checkpoint, source.folder, folder, progress=quietly) for folder in folders]

    alone = [gate.check(subject) for subject in subjects()]
    assert gate.check_together(subjects()) == alone
    assert [any(f.status == "fail" for f in outcome.findings) for outcome in alone] == [False, False, False, True]


def test_an_artifact_that_cannot_be_read_spoils_no_other_in_the_same_pass(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = workshop.source(SOURCE)
    torn = workshop.copy(SOURCE, "4bit", tmp_path / "torn")
    (weights,) = torn.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    folders = (workshop.artifact(SOURCE, "8bit"), torn)
    subjects = [subject_of(source.checkpoint, source.folder, folder, progress=quietly) for folder in folders]
    good, bad = gate.check_together(subjects)
    assert {found.status for found in good.findings} == {"pass"}
    assert [(found.check, found.status) for found in bad.findings] == [("readable", "fail")]
