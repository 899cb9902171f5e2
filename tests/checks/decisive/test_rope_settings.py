import math
from typing import Any

import pytest

from hubbot.checks.decisive.rope_settings import differences, runtime_ropes, source_ropes
from hubbot.checks.decisive.source_settings import SourceSettings

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}


def source(**config: Any) -> SourceSettings:
    return SourceSettings({"model_type": "deepseek_v3", "max_position_embeddings": 4096, **config})


def named(config: dict[str, Any], **fields: Any) -> set[str]:
    return {name for name, *_ in differences(source(**config), fields)}


@pytest.mark.parametrize(
    "config",
    [
        {"rope_theta": 7.0, "rope_scaling": YARN},
        {"rope_parameters": {**YARN, "rope_theta": 7.0}},
        {"rope_scaling": {**YARN, "rope_theta": 7.0}, "rope_theta": 8.0},
    ],
)
def test_both_dialects_describe_one_embedding(config: dict[str, Any]) -> None:
    assert named(config, rope_theta=7.0, rope_scaling={**YARN, "type": "yarn"}) == set()
    assert named(config, rope_theta=7.0, rope_scaling=None) >= {"rope scaling, kind", "rope scaling, factor"}


def test_a_scaling_by_one_is_none() -> None:
    unscaled = {"type": "yarn", "factor": 1.0, "mscale": 0.0, "mscale_all_dim": 0.0}
    assert named({"rope_theta": 7.0}, rope_theta=7.0, rope_scaling=unscaled) == set()


def test_the_context_that_is_left_out_is_the_models_for_transformers_and_4096_for_mlx_lm() -> None:
    short = {"type": "yarn", "factor": 4.0}
    assert named({"rope_theta": 7.0, "rope_scaling": short}, rope_theta=7.0, rope_scaling=short) == set()
    found = differences(source(rope_theta=7.0, rope_scaling=short, max_position_embeddings=512), {
        "rope_theta": 7.0, "rope_scaling": short,
    })  # fmt: skip
    assert [(name, there, here) for name, there, here, _ in found] == [
        ("rope scaling, original_max_position_embeddings", 4096, 512)
    ]


@pytest.mark.parametrize(
    ("scales", "stretch"),
    [
        ({}, 0.1 * math.log(4) + 1),
        ({"mscale": 0.5}, 0.1 * math.log(4) + 1),  # transformers reads both or neither
        ({"mscale": 0.5, "mscale_all_dim": 1.0}, (0.05 * math.log(4) + 1) / (0.1 * math.log(4) + 1)),
        ({"attention_factor": 1.25}, 1.25),
    ],
)
def test_yarns_factor_of_attention(scales: dict[str, float], stretch: float) -> None:
    (rope,) = source_ropes(source(rope_theta=7.0, rope_scaling={**YARN, **scales})).values()
    assert rope.scaling["attention factor"] == pytest.approx(stretch)


def test_what_a_class_computes_by_layer_type_is_compared_layer_type_by_layer_type() -> None:
    layers = {"full_attention": {"rope_theta": 7.0}, "sliding_attention": {"rope_theta": 8.0}}
    changed = {**layers, "sliding_attention": {"rope_theta": 7.0}}
    assert named({"rope_parameters": layers}, rope_parameters=layers) == set()
    assert named({"rope_parameters": layers}, rope_parameters=changed) == {"rope base of sliding_attention"}
    assert named({"rope_parameters": layers}, rope_parameters=None) == {"rope, layer types"}


def test_a_rotated_width_is_a_share_of_the_head() -> None:
    (rope,) = runtime_ropes({"rope_theta": 7.0, "rotary_dim": 16, "head_dim": 64}).values()
    assert rope.share == 0.25


def test_a_class_without_a_field_for_it_rotates_the_whole_head() -> None:
    config = {"model_type": "mixtral", "rope_theta": 7.0, "partial_rotary_factor": 0.5}
    assert {name for name, *_ in differences(SourceSettings(config), {"rope_theta": 7.0})} == {"partial rotary"}
