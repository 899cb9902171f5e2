import pytest

from hubbot.catalogue.experts.completeness import check_complete, expert_count
from hubbot.errors import ConfigUnresolved, IncompleteCover
from tests.catalogue.experts.expert_shapes import checkpoint, experts, fused, separate


def test_a_complete_checkpoint_passes_and_its_layers_are_listed() -> None:
    found = checkpoint(separate(8, 4), hidden_size=8, num_experts=3)
    assert expert_count(found, experts(found)) == 3
    check_complete(experts(found), 3)
    assert experts(found).layers == (0, 1)


def test_one_missing_projection_is_told_by_layer_expert_and_projection() -> None:
    shapes = separate(8, 4)
    del shapes["model.layers.1.mlp.experts.2.up_proj.weight"]
    with pytest.raises(IncompleteCover, match="layer 1, expert 2 lacks up") as caught:
        check_complete(experts(checkpoint(shapes)), 3)
    assert caught.value.where == "model.layers.1.mlp.experts.2.up_proj.weight"


def test_a_wholly_missing_expert_is_told_and_many_are_counted() -> None:
    shapes = {name: shape for name, shape in separate(8, 4, count=12).items() if "experts.11." not in name}
    with pytest.raises(IncompleteCover, match="layer 0, expert 11 lacks gate and up and down; layer 1, expert 11"):
        check_complete(experts(checkpoint(shapes)), 12)
    few = {name: shape for name, shape in separate(8, 4, count=12).items() if "experts.0." in name}
    with pytest.raises(IncompleteCover, match="and 16 more"):
        check_complete(experts(checkpoint(few)), 12)


def test_a_missing_half_of_a_stacked_layer_is_told() -> None:
    shapes = fused((8, 8), (8, 4)) | {"model.layers.1.mlp.experts.gate_up_proj": (3, 8, 8)}
    with pytest.raises(IncompleteCover, match="layer 1 lacks down"):
        check_complete(experts(checkpoint(shapes)), 3)


def test_a_stack_of_another_count_than_the_config_says_is_refused_with_both_numbers() -> None:
    found = checkpoint(fused((8, 8), (8, 4), count=5), num_experts=6)
    with pytest.raises(IncompleteCover, match="stacks 5 experts, the config says num_experts = 6"):
        expert_count(found, experts(found))


def test_an_expert_beyond_the_configs_number_is_refused() -> None:
    found = checkpoint(separate(8, 4, count=4), num_local_experts=3)
    with pytest.raises(IncompleteCover, match="layer 0 has an expert 3, the config says num_local_experts = 3"):
        expert_count(found, experts(found))


def test_experts_without_a_declared_number_are_refused() -> None:
    found = checkpoint(separate(8, 4))
    with pytest.raises(ConfigUnresolved, match="does not say how many"):
        expert_count(found, experts(found))


def test_a_bias_that_one_expert_lacks_is_told() -> None:
    shapes = separate(8, 4) | {
        f"model.layers.{layer}.mlp.experts.{expert}.up_proj.bias": (4,)
        for layer in range(2)
        for expert in range(3)
    }
    check_complete(experts(checkpoint(shapes)), 3)
    del shapes["model.layers.1.mlp.experts.2.up_proj.bias"]
    with pytest.raises(IncompleteCover, match="layer 1, expert 2 lacks up bias") as caught:
        check_complete(experts(checkpoint(shapes)), 3)
    assert caught.value.where == "model.layers.1.mlp.experts.2.up_proj.bias"


def biased(*experts_of_layers: tuple[int, int], part: str = "up") -> dict[str, tuple[int, ...]]:
    width = 8 if part == "down" else 4
    names = (f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj.bias" for layer, expert in experts_of_layers)
    return separate(8, 4) | dict.fromkeys(names, (width,))


@pytest.mark.parametrize(("layer", "expert", "part"), [(0, 0, "gate"), (1, 2, "up"), (1, 0, "down")])
def test_a_lone_bias_is_named_and_not_the_biases_that_nobody_has(layer: int, expert: int, part: str) -> None:
    with pytest.raises(
        IncompleteCover, match=f"layer {layer}, expert {expert} has a bias of {part}, which 1 of 6 experts have"
    ) as caught:
        check_complete(experts(checkpoint(biased((layer, expert), part=part))), 3)
    assert caught.value.where == f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj.bias"


def test_the_few_tell_what_is_odd() -> None:
    with pytest.raises(IncompleteCover, match="has a bias of up, which 2 of 6 experts have"):
        check_complete(experts(checkpoint(biased((0, 1), (1, 1)))), 3)
    with pytest.raises(IncompleteCover, match="layer 0, expert 0 lacks up bias; layer 1, expert 2 lacks up bias"):
        check_complete(experts(checkpoint(biased((0, 1), (0, 2), (1, 0), (1, 1)))), 3)
    with pytest.raises(IncompleteCover, match="layer 1, expert 0 lacks up bias; layer 1, expert 1 lacks up bias"):
        check_complete(experts(checkpoint(biased((0, 0), (0, 1), (0, 2)))), 3)


def test_a_stray_bias_does_not_hide_a_missing_weight() -> None:
    shapes = biased((0, 1))
    del shapes["model.layers.1.mlp.experts.2.down_proj.weight"]
    with pytest.raises(IncompleteCover, match="layer 1, expert 2 lacks down"):
        check_complete(experts(checkpoint(shapes)), 3)


def test_a_stray_bias_of_one_stack_is_named() -> None:
    stacks = {
        f"model.layers.{layer}.mlp.experts.{name}": shape
        for layer in range(3)
        for name, shape in {"gate_up_proj": (3, 8, 8), "down_proj": (3, 8, 4)}.items()
    }
    bias = "model.layers.2.mlp.experts.down_proj_bias"
    with pytest.raises(IncompleteCover, match="layer 2 has a bias of down, which 1 of 3 stacks") as caught:
        check_complete(experts(checkpoint(stacks | {bias: (3, 8)})), 3)
    assert caught.value.where == bias


def test_two_stacks_of_layers_are_each_complete_for_themselves() -> None:
    tower = {name.replace("model.", "model.vision_tower."): shape for name, shape in separate(8, 4).items()}
    del tower["model.vision_tower.layers.0.mlp.experts.1.down_proj.weight"]
    with pytest.raises(IncompleteCover, match="layer 0, expert 1 lacks down") as caught:
        check_complete(experts(checkpoint(separate(8, 4) | tower)), 3)
    assert caught.value.where == "model.vision_tower.layers.0.mlp.experts.1.down_proj.weight"
