"""What a config field cannot hold is told with the field and the value as it stands."""

from typing import Any

import pytest

from hubbot.catalogue.configs.ranges import value_problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_experts", 8), ("hidden_size", 2048), ("intermediate_size", 0), ("rope_theta", 1e6),
        ("norm_topk_prob", False), ("rope_scaling", {"factor": 2}), ("head_dim", None), ("unheard_of", "x"),
    ],
)  # fmt: skip
def test_what_models_have_is_fine(field: str, value: Any) -> None:
    assert value_problem(field, value, {}) is None


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("num_attention_heads", 0, "num_attention_heads = 0"),
        ("hidden_size", "96", "hidden_size = '96'"),
        ("num_hidden_layers", 1_000_000, "num_hidden_layers = 1000000"),
        ("num_experts", True, "num_experts = True"),
        ("intermediate_size", -1, "intermediate_size = -1"),
        ("rms_norm_eps", float("nan"), "rms_norm_eps = nan"),
        ("rope_theta", -1.0, "rope_theta = -1.0"),
        ("norm_topk_prob", 1, "norm_topk_prob = 1"),
    ],
)
def test_what_none_has_is_a_problem(field: str, value: Any, told: str) -> None:
    problem = value_problem(field, value, {})
    assert problem is not None
    assert told in problem


def test_more_experts_per_token_than_experts_is_a_problem() -> None:
    assert value_problem("num_experts_per_tok", 9, {"num_local_experts": 8}) is not None
    assert value_problem("num_experts_per_tok", 8, {"num_local_experts": 8}) is None
