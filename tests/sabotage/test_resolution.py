"""Every fault planted in the resolution of a decisive setting is refused; the same source without it is not."""

from pathlib import Path
from typing import cast

import pytest

from hubbot.catalogue.configs.spellings import SYNONYMS
from hubbot.checks.structure.decisive_settings import CHECK
from tests.checkpoints_on_disk import converted, judged, look
from tests.reference.checkpoints import case, write
from tests.sabotage.on_resolution import FAULTS, Fault
from tests.sabotage.resolution import PATH, findings, objection, render

# The settings that decide what a model computes: at least one fault in the resolution of each is planted.
DECISIVE = (
    "rope base", "rope scaling", "rope scaling, factor", "partial rotary", "top-k", "renormalisation",
    "routed scaling", "groups", "scoring function", "shared experts", "dense layers", "eps", "heads", "kv heads",
    "head size", "windows", "layer kinds", "tied embeddings", "bias flags", "softcaps",
)  # fmt: skip
PLANTED = [fault for fault in FAULTS if fault.synonyms or fault.defaults or fault.written]


def _name(fault: Fault) -> str:
    return f"{fault.setting}: {fault.what}".replace(" ", "_")


def test_every_decisive_setting_has_a_fault() -> None:
    assert {fault.setting for fault in FAULTS} >= set(DECISIVE)


@pytest.mark.parametrize("fault", FAULTS, ids=_name)
def test_a_fault_in_the_resolution_is_refused_and_names_setting_and_key(fault: Fault) -> None:
    found = objection(fault)
    assert found is not None
    assert found.gate == "structure"
    assert found.measured != found.allowed
    assert "the source says otherwise, by " in found.reason


@pytest.mark.parametrize("fault", PLANTED, ids=_name)
def test_the_same_source_resolved_without_the_fault_is_accepted(fault: Fault) -> None:
    assert [found.status for found in findings(fault, is_planted=False)] == ["pass"]


def test_the_table_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run python -m tests.refresh"


@pytest.mark.parametrize(
    ("source", "field", "synonyms"),
    [
        ("qwen3_moe/orig", "rope_theta", ("rope_theta",)),
        ("mixtral/hub", "num_experts_per_tok", ("num_local_experts",)),
        ("qwen3_moe/hub", "norm_topk_prob", ("moe_renormalize",)),
    ],
)
def test_an_artifact_made_under_a_fault_is_refused_by_the_second_derivation_alone(
    source: str, field: str, synonyms: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = look(write(case(source), tmp_path / "source"))
    monkeypatch.setitem(cast("dict[str, tuple[str, ...]]", SYNONYMS), field, synonyms)
    folder = converted(made, tmp_path / "out", "bf16")["bf16"]
    failures = judged(made, folder).failures
    assert {finding.check for finding in failures} == {CHECK}
