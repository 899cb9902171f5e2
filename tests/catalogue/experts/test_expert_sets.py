from collections.abc import Mapping
from typing import Any

import pytest

from hubbot.catalogue.experts.expert_layouts import read_names
from hubbot.catalogue.experts.expert_sets import Experts, check_complete, expert_count, geometry_of
from hubbot.checkpoints import Checkpoint, Repo, TensorInfo
from hubbot.errors import AmbiguousLayout, ConfigUnresolved, IncompleteCover, UnknownPacking

Shapes = Mapping[str, tuple[int, ...]]


def checkpoint(shapes: Shapes, dtypes: Mapping[str, str] | None = None, **config: Any) -> Checkpoint:
    tensors = {
        name: TensorInfo(
            name=name, dtype=(dtypes or {}).get(name, "BF16"), shape=shape, shard="m.safetensors", start=0, end=2
        )
        for name, shape in shapes.items()
    }
    return Checkpoint(
        repo=Repo(id="org/m", revision="0" * 40), config=config, card={}, files=(), tensors=tensors,
        gated=False, private=False, requests=0, bytes_read=0,
    )  # fmt: skip


def experts(found: Checkpoint) -> Experts:
    known, unknown = read_names(found.tensors)
    assert unknown == []
    return Experts(row=known[0].row, tensors=known)


def separate(hidden: int, width: int, *, count: int = 3, layers: int = 2) -> dict[str, tuple[int, ...]]:
    shapes = {"gate": (width, hidden), "up": (width, hidden), "down": (hidden, width)}
    return {
        f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj.weight": shape
        for layer in range(layers)
        for expert in range(count)
        for part, shape in shapes.items()
    }


def fused(gate_up: tuple[int, int], down: tuple[int, int], *, count: int = 3) -> dict[str, tuple[int, ...]]:
    stem = "model.layers.0.mlp.experts"
    return {f"{stem}.gate_up_proj": (count, *gate_up), f"{stem}.down_proj": (count, *down)}


def orientation(shapes: Shapes, hidden: int) -> tuple[str, int]:
    found = checkpoint(shapes, hidden_size=hidden, num_experts=3)
    geometry = geometry_of(found, experts(found), hidden)
    return geometry.orientation, geometry.width


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
    assert caught.value.where == "mlp.experts.2.up_proj.weight of layer 1"


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


def test_one_odd_shaped_expert_is_named_with_both_shapes() -> None:
    shapes = separate(8, 4) | {"model.layers.1.mlp.experts.0.up_proj.weight": (5, 8)}
    with pytest.raises(IncompleteCover, match=r"'model.layers.1.mlp.experts.0.up_proj.weight' has shape \[5, 8\]"):
        orientation(shapes, 8)


def test_one_expert_of_another_dtype_is_refused() -> None:
    name = "model.layers.1.mlp.experts.0.up_proj.weight"
    found = checkpoint(separate(8, 4), {name: "F32"}, hidden_size=8)
    with pytest.raises(UnknownPacking, match="up tensors are stored in several dtypes: BF16, F32"):
        geometry_of(found, experts(found), 8)


@pytest.mark.parametrize(("hidden", "width"), [(8, 4), (8, 3), (4, 8), (8, 8), (8, 16)])
def test_separate_projections_are_out_in_even_where_they_are_square(hidden: int, width: int) -> None:
    assert orientation(separate(hidden, width), hidden) == ("out,in", width)


@pytest.mark.parametrize(("hidden", "width"), [(8, 3), (8, 4), (8, 8), (8, 16)])
def test_a_fused_stack_as_torch_linears_is_out_in_even_where_2i_or_i_equals_h(hidden: int, width: int) -> None:
    assert orientation(fused((2 * width, hidden), (hidden, width)), hidden) == ("out,in", width)


@pytest.mark.parametrize(("hidden", "width"), [(8, 3), (8, 4), (8, 8), (8, 16)])
def test_a_transposed_fused_stack_is_never_taken_for_the_other_even_where_2i_or_i_equals_h(
    hidden: int, width: int
) -> None:
    assert orientation(fused((hidden, 2 * width), (width, hidden)), hidden) == ("in,out", width)
    found = checkpoint(fused((hidden, 2 * width), (width, hidden)))
    assert geometry_of(found, experts(found), hidden).row.key == "stacked_fused_transposed"


@pytest.mark.parametrize(
    "shapes",
    [fused((9, 8), (8, 4)), fused((8, 9), (8, 4)), fused((8, 8), (8, 3)), separate(9, 4), fused((8, 8), (4, 4))],
    ids=range(5),
)
def test_shapes_that_fit_no_orientation_are_refused_with_the_hidden_size(shapes: Shapes) -> None:
    with pytest.raises(IncompleteCover, match="do not fit together with hidden_size = 8"):
        orientation(shapes, 8)


def test_a_transposed_separate_stack_is_refused() -> None:
    shapes = {name: shape[::-1] for name, shape in separate(8, 4).items()}
    with pytest.raises(AmbiguousLayout, match="stored transposed"):
        orientation(shapes, 8)


@pytest.mark.parametrize("shape", [(3,), (8,)])
def test_an_expert_tensor_that_is_no_matrix_is_refused(shape: tuple[int, ...]) -> None:
    stem = "model.layers.0.mlp.experts"
    with pytest.raises(IncompleteCover):
        orientation({f"{stem}.gate_up_proj": shape, f"{stem}.down_proj": shape}, 8)
