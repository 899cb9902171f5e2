"""The parity gate: what it says without torch, and with it (skipped where there is none) on every model type."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Finding
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checks.parity import gate
from hubbot.checks.subject import subject_of
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop, edit_json, quietly

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="hubbot[reference] is not installed")
FORMS = {made.model_type: made.name for made in reversed(CONVERTIBLE) if made.model == "base"}
# transformers has no language model of this name; the reference is made otherwise (numpy, a kindred class).
WITHOUT_A_CLASS = {"bailing_moe", "deepseek", "hunyuan", "kimi_k3", "kimi_vl", "step3p5"}
# Rope sections by place in the picture, which do not add up in heads as narrow as a shrunken model's.
NOT_SHRUNK = {"ernie4_5_vl_moe"}


def findings(workshop: Workshop, name: str, folder: Path) -> dict[str, Finding]:
    source = workshop.source(name)
    subject = subject_of(source.checkpoint, source.folder, folder, progress=quietly)
    return {found.check: found for found in gate.check(subject).findings}


def changed(workshop: Workshop, name: str, folder: Path, *without: str, **values: Any) -> Path:
    made = workshop.copy(name, "bf16", folder / "bf16")
    edit_json(made / "config.json", *without, **values)
    return made


def test_without_torch_the_gate_says_not_run(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "find_spec", lambda _name: None)
    found = findings(workshop, "mixtral/hub", workshop.artifact("mixtral/hub", "bf16"))
    assert [(finding.status, finding.reason) for finding in found.values()] == [("not-run", gate.MISSING)]


def test_every_model_type_of_the_catalogue_has_a_case() -> None:
    assert set(FORMS) >= set(BY_MODEL_TYPE)


@needs_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shrunk", [False, True], ids=["whole", "shrunk"])
@pytest.mark.parametrize("model_type", BY_MODEL_TYPE)
def test_transformers_and_the_runtime_agree_on_a_twin_of_every_model_type(
    model_type: str, shrunk: bool, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shrunk:
        monkeypatch.setattr(gate, "SMALL", 0)
    found = findings(workshop, FORMS[model_type], workshop.artifact(FORMS[model_type], "bf16"))
    if model_type in WITHOUT_A_CLASS or (shrunk and model_type in NOT_SHRUNK):
        assert found["parity"].status == "not-run"
        assert found["parity"].reason.startswith("no twin can be built: ")
        return
    assert {finding.status for finding in found.values()} == {"pass"}, found
    assert found["logits"].measured < found["logits"].allowed


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_gpt_oss_ramp_that_is_not_truncated_is_left_out_of_the_comparison_and_told(workshop: Workshop) -> None:
    name = "gpt_oss/untruncated/hub"
    found = findings(workshop, name, workshop.artifact(name, "bf16"))
    assert {finding.status for finding in found.values()} == {"pass"}, found
    assert "ramp truncated on both sides" in found["logits"].reason


@needs_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("qwen3_moe/hub", {"norm_topk_prob": False}),
        ("qwen3_moe/hub", {"num_experts_per_tok": 2}),
        ("mixtral/hub", {"rope_theta": 1e6}),
        ("glm4_moe/hub", {"routed_scaling_factor": 1.0}),
        ("glm4_moe/hub", {"partial_rotary_factor": 1.0}),
        ("granitemoe/hub", {"residual_multiplier": 1.0}),
        ("olmoe/hub", {"rms_norm_eps": 0.1}),
        ("afmoe/hub", {"sliding_window": 4}),
    ],
)
@pytest.mark.parametrize("shrunk", [False, True], ids=["whole", "shrunk"])
def test_an_artifact_that_computes_another_function_fails(
    name: str, values: Mapping[str, Any], shrunk: bool, workshop: Workshop, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if shrunk:
        monkeypatch.setattr(gate, "SMALL", 0)
    found = findings(workshop, name, changed(workshop, name, tmp_path, **values))
    assert found["logits"].status == "fail"
    assert found["logits"].measured > 1e-4


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_a_class_of_the_runtime_that_computes_otherwise_fails(workshop: Workshop, tmp_path: Path) -> None:
    name = FORMS["ernie4_5_moe"]
    folder = changed(workshop, name, tmp_path, "model_file")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "ernie4_5_moe"
    assert findings(workshop, name, folder)["logits"].status == "fail"


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_where_no_twin_can_be_built_the_gate_says_why_and_does_not_fail(
    workshop: Workshop, tmp_path: Path
) -> None:
    folder = changed(workshop, "mixtral/hub", tmp_path, model_type="no such class")
    (finding,) = findings(workshop, "mixtral/hub", folder).values()
    assert finding.status == "not-run"
    assert "no such class" in finding.reason
