"""Counts of a config that cannot belong to one model are named in pairs, before anything is built."""

from typing import Any

import pytest

from hubbot.catalogue.configs.divisions import division_problems

DEEPSEEK: dict[str, Any] = {
    "n_routed_experts": 8,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def problems(**fields: Any) -> list[str]:
    return list(division_problems(DEEPSEEK | fields))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n_routed_experts": 6}, "n_routed_experts = 6 is not divisible by n_group = 4"),
        ({"topk_group": 5}, "topk_group = 5 is more than n_group = 4"),
        ({"num_experts_per_tok": 5}, "num_experts_per_tok = 5 is more than the 4 experts of topk_group = 2"),
        ({"n_group": 8, "num_experts_per_tok": 2}, "n_routed_experts = 8 in n_group = 8 leaves 1 in a group"),
        ({"num_key_value_heads": 3}, "num_attention_heads = 4 is not divisible by num_key_value_heads = 3"),
    ],
)
def test_two_counts_that_do_not_fit_are_named(fields: dict[str, Any], told: str) -> None:
    (problem,) = problems(**fields)
    assert problem.startswith(told)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n_group": 1, "n_routed_experts": 7},
        {"n_group": None},
        {"n_group": "4"},
        {"num_key_value_heads": None},
        {"n_routed_experts": None},
    ],
)
def test_what_fits_or_is_not_there_is_no_problem(fields: dict[str, Any]) -> None:
    assert problems(**fields) == []
