import json
from importlib import import_module
from pathlib import Path

import pytest

from hubbot.artifacts import GATES, Finding
from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.checks import referee, structure
from hubbot.checks.referee import judge
from hubbot.checks.subject import Subject, subject_of
from hubbot.errors import AmbiguousLayout
from hubbot.folders import Folder
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import TRACER, Workshop, converted, edit_json, judged, look, quietly
from tests.checks.stock import stock_convert, stock_source
from tests.reference.checkpoints import case, write


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "name",
    ["qwen3_moe/bf16", "mixtral/half_square/v5"],
)
def test_every_good_artifact_is_approved(name: str, variant: str, workshop: Workshop) -> None:
    report = workshop.report(name, workshop.artifact(name, variant))
    assert report.failures == ()
    assert report.verdict == "approved"
    assert report.artifact.variant == variant


def test_an_artifact_in_many_shards_is_approved(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("qwen3_moe/sharded")
    for folder in converted(source, tmp_path, "bf16", "4bit", shard_bytes=50_000).values():
        assert judged(source, folder).verdict == "approved"


@pytest.mark.parametrize(
    ("mode", "bits", "group_size"),
    [(None, 0, 0), ("affine", 4, 64), ("affine", 3, 64), ("affine", 8, 32), ("mxfp4", 4, 32), ("mxfp8", 8, 32)],
)
def test_what_mlx_lm_convert_makes_is_judged_without_a_false_refusal(
    mode: str | None, bits: int, group_size: int, tmp_path: Path
) -> None:
    source = stock_source(tmp_path)
    folder = stock_convert(source, mode=mode, bits=bits, group_size=group_size)
    report = judged(look(source), folder)
    hashes = next(finding for finding in report.findings if finding.check == "file hashes")
    assert hashes.status == "not-run"
    assert report.failures == ()
    assert report.verdict == "approved"


def test_gates_that_did_not_run_say_why_and_never_count_as_passed(workshop: Workshop) -> None:
    report = workshop.report("qwen3_moe/hub", workshop.artifact("qwen3_moe/hub", "4bit"))
    assert set(report.gates) == set(GATES)
    for gate, status in report.gates.items():
        if status == "pass":
            continue
        (finding,) = [finding for finding in report.findings if finding.gate == gate]
        assert (finding.status, status) in {("not-run", "not-run"), ("not-applicable", "not-applicable")}
        assert finding.reason


def test_the_report_holds_the_hash_of_every_file_that_was_judged(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/hub", "4bit")
    report = workshop.report("qwen3_moe/hub", folder)
    recorded = {file["path"]: file["sha256"] for file in json.loads((folder / "hubbot.json").read_text())["files"]}
    assert recorded.items() <= report.digests.items()
    assert set(report.digests) == {path.name for path in folder.iterdir()}


def test_a_finding_for_every_parameter_says_what_was_measured_and_allowed(workshop: Workshop) -> None:
    report = workshop.report("qwen3_moe/bf16", workshop.artifact("qwen3_moe/bf16", "4bit"))
    values = {finding.subject: finding for finding in report.findings if finding.check == "values"}
    experts = values["model.layers.0.mlp.switch_mlp.up_proj.weight"]
    assert 0 < experts.measured <= experts.allowed
    assert values["model.norm.weight"].measured == 0


def test_judging_leaves_the_artifact_as_it_is(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/hub", "8bit")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    workshop.report("qwen3_moe/hub", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_source_of_an_unproven_family_cannot_be_judged(workshop: Workshop, tmp_path: Path) -> None:
    source = write(case("qwen3_moe/hub"), tmp_path / "source")
    edit_json(source / "config.json", model_type="unproven_moe")
    with pytest.raises(AmbiguousLayout, match="unproven_moe"):
        judge(
            inspect(Folder(source)),
            source,
            workshop.artifact("qwen3_moe/hub", "bf16"),
            progress=quietly,
            tracer=TRACER,
        )


def subject(workshop: Workshop, *so_far: Finding) -> Subject:
    source = workshop.source("mixtral/hub")
    folder = workshop.artifact("mixtral/hub", "4bit")
    made = subject_of(source.checkpoint, source.folder, folder, progress=quietly)
    made.so_far.extend(so_far)
    return made


def test_what_is_refused_already_is_not_run(workshop: Workshop) -> None:
    bad = Finding(
        gate="values", check="contrast", subject="x", measured=1, allowed=0, status="fail", reason="swapped"
    )
    for check in (referee.check_parity, referee.check_behaviour):
        (finding,) = check(subject(workshop, bad)).findings
        assert finding.status == "not-run"
        assert "refused already: values, contrast" in finding.reason


def test_what_could_not_be_read_is_not_compared_with_the_source(workshop: Workshop) -> None:
    bad = structure.finding.unreadable(ValueError("no header"), "4bit")
    ((finding,),) = (found.findings for found in referee.check_values([subject(workshop, bad)]))
    assert (finding.gate, finding.status) == ("values", "not-run")


def test_every_gate_has_the_name_of_its_folder_and_a_place_in_the_report() -> None:
    folders = {path.parent.name for path in Path(referee.__file__).parent.glob("*/gate.py")}
    assert folders == {*GATES, "smoke"}
    for name in folders:
        assert name == import_module(f"hubbot.checks.{name}").GATE
