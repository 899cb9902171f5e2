"""Rows that hold for some checkpoints of a model type only: where, and what decides it."""

from typing import Any

import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE, family_for
from hubbot.catalogue.tensors import drop_reason
from hubbot.checks.decisive.respelled_settings import decisive
from hubbot.checks.decisive.source_settings import SourceSettings
from tests.catalogue.configs.resolving import resolve
from tests.reference.checkpoints import case

SHARED = case("glm_moe_dsa/shared/orig").config
PLAIN = {key: value for key, value in SHARED.items() if key != "indexer_types"}
PHI = case("phimoe/hub").config
BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"


def file_of(config: dict[str, Any], *names: str) -> str | None:
    family = family_for(config, names)
    assert family is not None
    return family.model_file


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({"indexer_types": ["full", "shared"] * 3}, "FSFSFS"),
        ({"index_topk_pattern": "FFSSFS"}, "FFSSFS"),
        ({"index_topk_freq": 4, "index_skip_topk_offset": 3}, "FFFSSS"),
        ({"index_topk_freq": 2}, "FFSFSF"),
        ({"index_topk_freq": 3, "index_skip_topk_offset": 1}, "FSSFSS"),
        ({"index_topk_freq": 1}, "FFFFFF"),
        ({}, "FFFFFF"),
    ],
)
def test_which_layers_choose_is_derived_twice_from_every_spelling(values: dict[str, Any], kinds: str) -> None:
    config = {**PLAIN, **values}
    expected = [{"F": "full", "S": "shared"}[letter] for letter in kinds]
    assert file_of(config) == ("glm_moe_dsa.py" if "S" in kinds else None)
    resolved = resolve(config)
    assert resolved.problems == ()
    if "S" in kinds:
        assert resolved.config["indexer_types"] == expected
    found = decisive(SourceSettings(config), "indexer_types")
    assert found is not None
    assert found.value == expected


@pytest.mark.parametrize("values", [{"indexer_types": ["full", "seldom"] * 3}, {"index_topk_pattern": "FX"}])
def test_a_kind_of_indexer_that_nobody_knows_is_refused(values: dict[str, Any]) -> None:
    (problem,) = resolve({**PLAIN, **values}).problems
    assert next(iter(values)) in problem


@pytest.mark.parametrize(
    ("values", "file"),
    [
        ({}, None),
        ({"sliding_window": PHI["max_position_embeddings"]}, None),
        ({"sliding_window": 16}, "phimoe.py"),
        ({"rope_scaling": case("phimoe/longrope/hub").config["rope_scaling"]}, "phimoe.py"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}}, None),
    ],
)
def test_phimoe_runs_on_its_own_file_only_with_longrope_or_a_window_that_acts(
    values: dict[str, Any], file: str | None
) -> None:
    assert file_of({**PHI, **values}) == file


@pytest.mark.parametrize(
    ("groups", "file"), [(None, None), (1, None), (2, "granitemoehybrid.py"), (8, "granitemoehybrid.py")]
)
def test_granite_runs_on_its_own_file_only_with_several_groups(groups: int | None, file: str | None) -> None:
    assert file_of({**case("granitemoehybrid/hub").config, "mamba_n_groups": groups}) == file


def test_no_other_family_takes_longrope() -> None:
    scaling = case("phimoe/longrope/hub").config["rope_scaling"]
    resolved = resolve(case("qwen3_moe/hub").config | {"rope_scaling": scaling})
    assert any("longrope" in problem for problem in resolved.problems)


def test_a_router_without_correction_biases_has_none_in_the_class() -> None:
    config = case("axk1/orig").config
    with_them, without = family_for(config, [BIAS]), family_for(config, ["model.norm.weight"])
    assert with_them is not None
    assert without is not None
    assert [row.fixed["has_correction_bias"][0] for row in (with_them, without)] == [True, False]


def test_only_the_norm_behind_experts_is_taken_over() -> None:
    name = "model.layers.{}.post_mlp_layernorm.weight"
    for config in ({"first_k_dense_replace": 1}, {"mlp_layer_types": ["dense", "sparse"]}):
        assert drop_reason(name.format(0), config) is not None
        assert drop_reason(name.format(1), config) is None


def test_every_row_for_some_says_where_it_holds_and_why_a_file_is_needed_and_until_when() -> None:
    rows = [one for family in BY_MODEL_TYPE.values() for one in family.under]
    assert rows
    for one in rows:
        assert one.where
        assert one.row.under == ()
        assert one.row.extension is not None
        assert "no longer needed once" in one.row.extension.reason
