from typing import Any

import pytest

from hubbot.catalogue.configs import derivations
from hubbot.catalogue.configs.derivations import Derivation, copied, first, listed, of_full_layers, repeated


def value(derivation: Derivation, **config: Any) -> Any:
    found = derivation(config)
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("kinds", "dense"),
    [
        (["dense", "sparse", "sparse"], 1),
        (["sparse"], 0),
        (["dense"], 1),
        (["sparse", "dense"], None),
        (None, None),
    ],
)
def test_leading_dense_layers_are_counted_and_nothing_else_is_guessed(kinds: Any, dense: int | None) -> None:
    assert value(derivations.dense_layers, mlp_layer_types=kinds) == dense


def test_an_interval_of_full_attention_must_be_regular() -> None:
    linear, full = "linear_attention", "full_attention"
    regular = [linear, linear, full, linear, linear, full]
    assert value(derivations.full_attention_interval, layer_types=regular) == 3
    assert value(derivations.full_attention_interval, layer_types=[linear, full, full]) is None


def test_mimos_window_counts_the_query_whatever_its_own_key_says() -> None:
    assert value(derivations.window_size, sliding_window_size=128, sliding_window=128) == 129
    assert value(derivations.window_size, sliding_window=129) == 129


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
    assert value(derivations.block_pattern, **config) == "ME*-"
    assert value(derivations.block_count, **config) == 4


def test_an_unknown_block_is_not_guessed() -> None:
    assert value(derivations.block_pattern, layers_block_type=["moe", "oracle"]) is None
    assert value(derivations.block_pattern, hybrid_override_pattern="MX") is None


def test_kimis_layers_are_counted_from_one() -> None:
    config = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_head_dim": 8, "linear_num_heads": 2, "linear_conv_kernel_dim": 4,
    }  # fmt: skip
    found = value(derivations.linear_attention, **config)
    assert (found["kda_layers"], found["full_attn_layers"]) == ([1], [2])
    assert value(derivations.linear_attention, linear_attn_config={"head_dim": 3}) == {"head_dim": 3}


def test_a_width_of_full_layers_counts_only_where_all_of_them_have_it_and_no_other_layer() -> None:
    kinds = ["sliding_attention", "full_attention"]
    derive = of_full_layers("head_dim")
    assert value(derive, layer_types=kinds, per_layer_config={"1": {"head_dim": 64}}) == 64
    assert value(derive, layer_types=kinds, per_layer_config={"0": {"head_dim": 64}}) is None
    assert value(derive, layer_types=kinds, per_layer_config={"1": {"head_dim": 64, "rope": 1}}) is None


def test_granites_mamba_width_may_be_left_to_the_reader() -> None:
    config = {"mamba_d_head": "auto", "hidden_size": 8, "mamba_expand": 2, "mamba_n_heads": 4}
    assert value(derivations.mamba_head_width, **config) == 4
    assert value(derivations.mamba_head_width, mamba_d_head=3) == 3


def test_small_derivations_copy_translate_repeat_and_ask_in_turn() -> None:
    assert value(copied("a", "b", times=2), b=3) == 6
    assert value(listed("kinds", {"x": 1}), kinds=["x", "x"]) == [1, 1]
    assert value(listed("kinds", {"x": 1}), kinds=["x", "y"]) is None
    assert value(repeated("heads"), heads=4, num_hidden_layers=2) == [4, 4]
    assert value(repeated("heads"), heads=4, num_hidden_layers=10**9) is None
    assert value(first(copied("a"), copied("b")), b=1) == 1
