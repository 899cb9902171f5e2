import pytest

from hubbot.checks.twins.layer_kinds import MOST_LAYERS, layers_to_keep


def dense_then_sparse(dense: int, count: int) -> list[str]:
    return [f"model.layers.{i}.mlp.{'gate' if i >= dense else 'up_proj'}.weight" for i in range(count)]


@pytest.mark.parametrize(
    ("config", "names", "count", "kept"),
    [
        ({}, dense_then_sparse(0, 48), 48, 2),
        ({}, dense_then_sparse(3, 61), 61, 4),
        ({"layer_types": ["a", "a", "a", "b"] * 12}, dense_then_sparse(0, 48), 48, 4),
        ({"hybrid_override_pattern": "MMEM*EME" * 4}, [], 32, 5),
        ({"sliding_window_pattern": 6}, dense_then_sparse(0, 48), 48, 6),
        ({"attn_layer_period": 8, "expert_layer_period": 2}, [], 32, 8),
        ({"sliding_window_pattern": 64}, [], 4, 2),
        ({}, dense_then_sparse(40, 48), 48, MOST_LAYERS),
        ({}, dense_then_sparse(0, 1), 1, 1),
    ],
)
def test_the_shortest_beginning_with_every_kind_of_layer_is_kept(
    config: dict[str, object], names: list[str], count: int, kept: int
) -> None:
    assert layers_to_keep(config, names, count) == kept


def test_experts_of_another_number_are_no_other_kind() -> None:
    names = [f"model.layers.{i}.mlp.experts.{i + j}.up_proj.weight" for i in range(8) for j in range(2)]
    assert layers_to_keep({}, names, 8) == 2
