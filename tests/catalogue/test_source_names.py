import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.source_names import source_names

HUNYUAN = BY_MODEL_TYPE["hunyuan"]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("model.layers.7.mlp.gate.weight", "model.layers.7.mlp.gate.wg.weight"),
        ("model.layers.7.input_layernorm.weight", "model.layers.7.input_layernorm.weight"),
        ("model.norm.weight", "model.norm.weight"),
    ],
)
def test_without_an_example_the_familys_renames_are_read_backwards(missing: str, expected: str) -> None:
    assert source_names([missing], {}, HUNYUAN) == [expected]


def test_another_layer_says_how_the_source_spells_it() -> None:
    made = {
        f"model.layers.{layer}.mlp.switch_mlp.up_proj.weight": [
            f"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight" for expert in range(3)
        ]
        for layer in (1, 2)
    }
    found = source_names(["model.layers.0.mlp.switch_mlp.up_proj.weight"], made, HUNYUAN)
    assert found == [f"model.layers.0.mlp.experts.{expert}.up_proj.weight" for expert in range(3)]


def test_the_layer_that_has_most_of_what_is_lacking_is_the_example() -> None:
    home = "model.layers.{}.self_attn.{}.weight"
    made = {home.format(1, "q_proj"): [home.format(1, "q_proj")]}
    made |= {home.format(2, part): [home.format(2, "qkv_proj")] for part in ("q_proj", "k_proj", "v_proj")}
    missing = [home.format(0, part) for part in ("q_proj", "k_proj", "v_proj")]
    assert source_names(missing, made, HUNYUAN) == [home.format(0, "qkv_proj")]
