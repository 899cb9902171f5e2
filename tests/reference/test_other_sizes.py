"""The held-out zoo's other sizes: everything grows alike, and what must agree still agrees."""

import pytest

from tests.reference.families import ROWS
from tests.reference.other_sizes import family_resized, resized
from tests.reference.rows import Family


def test_sizes_grow_by_half_wherever_they_stand_and_ways_of_choosing_stay() -> None:
    config = {
        "hidden_size": 128, "num_experts_per_tok": 3, "moe_intermediate_size": [64, 32],
        "tie_word_embeddings": True,
        "text_config": {"num_attention_heads": 4, "head_dim": 32}, "vision_config": {"hidden_size": 16},
    }  # fmt: skip
    assert resized(config) == {
        "hidden_size": 192, "num_experts_per_tok": 3, "moe_intermediate_size": [96, 48],
        "tie_word_embeddings": True,
        "text_config": {"num_attention_heads": 6, "head_dim": 32}, "vision_config": {"hidden_size": 16},
    }  # fmt: skip


@pytest.mark.parametrize("family", ROWS, ids=lambda family: family.model_type)
def test_every_family_has_other_sizes_and_the_same_models(family: Family) -> None:
    other = family_resized(family)
    assert other.config != family.config
    assert [model.name for model in other.models] == [model.name for model in family.models]
