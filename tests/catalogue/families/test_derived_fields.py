"""Fields that one family alone works out of its own keys."""

from typing import Any

import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE


def value(model_type: str, field: str, **config: Any) -> Any:
    found = BY_MODEL_TYPE[model_type].derived[field](config)
    return None if found is None else found.value


def test_mimos_window_counts_the_query_whatever_its_own_key_says() -> None:
    both = value("mimo_v2_flash", "sliding_window_size", sliding_window_size=128, sliding_window=128)
    assert both == 129
    assert value("mimo_v2_flash", "sliding_window_size", sliding_window=129) == 129


@pytest.mark.parametrize(
    "config",
    [
        {"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"]},
        {"layers_block_type": ["mamba", "moe", "attention", "mlp"]},
        {"hybrid_override_pattern": "ME*-"},
        {"hybrid_override_pattern": ["M", "E", "*", "-"]},
    ],
)
def test_nemotrons_layers_have_one_pattern_in_every_spelling(config: dict[str, Any]) -> None:
    assert value("nemotron_h", "hybrid_override_pattern", **config) == "ME*-"
    assert value("nemotron_h", "num_hidden_layers", **config) == 4


def test_an_unknown_block_is_not_guessed() -> None:
    assert value("nemotron_h", "hybrid_override_pattern", layers_block_type=["moe", "oracle"]) is None
    assert value("nemotron_h", "hybrid_override_pattern", hybrid_override_pattern="MX") is None


def test_kimis_layers_are_counted_from_one() -> None:
    config = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_head_dim": 8, "linear_num_heads": 2, "linear_conv_kernel_dim": 4,
    }  # fmt: skip
    found = value("kimi_linear", "linear_attn_config", **config)
    assert (found["kda_layers"], found["full_attn_layers"]) == ([1], [2])
    nested = {"linear_attn_config": {"head_dim": 3}}
    assert value("kimi_linear", "linear_attn_config", **nested) == {"head_dim": 3}


def test_a_width_of_gemmas_full_layers_counts_only_where_all_of_them_have_it_and_no_other_layer() -> None:
    kinds = ["sliding_attention", "full_attention"]
    for per_layer, width in (
        ({"1": {"head_dim": 64}}, 64),
        ({"0": {"head_dim": 64}}, None),
        ({"1": {"head_dim": 64, "rope": 1}}, None),
    ):
        assert value("gemma4", "global_head_dim", layer_types=kinds, per_layer_config=per_layer) == width


def test_granites_mamba_width_may_be_left_to_the_reader() -> None:
    config = {"mamba_d_head": "auto", "hidden_size": 8, "mamba_expand": 2, "mamba_n_heads": 4}
    assert value("granitemoehybrid", "mamba_d_head", **config) == 4
    assert value("granitemoehybrid", "mamba_d_head", mamba_d_head=3) == 3


def test_one_expert_of_hunyuan_large_keeps_its_probability() -> None:
    assert value("hunyuan", "renormalise_top_k", moe_topk=1) is False
    assert value("hunyuan", "renormalise_top_k", moe_topk=[8]) is True
    assert value("hunyuan", "renormalise_top_k") is None
