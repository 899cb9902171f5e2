import pytest

from hubbot.catalogue.experts.orientation import geometry_of, shapes_of
from hubbot.errors import AmbiguousLayout, IncompleteCover, UnknownPacking
from tests.catalogue.experts.expert_shapes import Shapes, checkpoint, experts, fused, separate


def orientation(shapes: Shapes, hidden: int) -> tuple[str, int]:
    found = checkpoint(shapes, hidden_size=hidden, num_experts=3)
    geometry = geometry_of(found, experts(found), hidden)
    return geometry.orientation, geometry.width


def test_one_odd_shaped_expert_is_named_with_both_shapes() -> None:
    shapes = separate(8, 4) | {"model.layers.1.mlp.experts.0.up_proj.weight": (5, 8)}
    with pytest.raises(IncompleteCover, match=r"0.up_proj.weight' \(layer 1, expert 0\) has shape \[5, 8\]"):
        orientation(shapes, 8)


def test_one_expert_of_another_dtype_is_refused() -> None:
    name = "model.layers.1.mlp.experts.0.up_proj.weight"
    found = checkpoint(separate(8, 4), {name: "F32"}, hidden_size=8)
    with pytest.raises(UnknownPacking, match=r"several dtypes: BF16, F32; that of layer 1, expert 0 is F32"):
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


def test_without_a_width_a_fused_pair_says_which_way_round_and_single_projections_are_out_in() -> None:
    turned = {name: shape[::-1] for name, shape in separate(8, 4).items()}
    for shapes, hidden, told in (
        (fused((8, 16), (8, 8)), None, ("in,out", 8, 8)),
        (fused((16, 8), (8, 8)), None, ("out,in", 8, 8)),
        (turned, None, ("out,in", 4, 8)),
        (turned, 8, ("in,out", 8, 4)),
        (turned, 99, ("out,in", 4, 8)),
    ):
        found = checkpoint(shapes, num_experts=3)
        geometry = shapes_of(found, experts(found), hidden)
        assert (geometry.orientation, geometry.hidden, geometry.width) == told


def test_a_bias_that_is_not_as_long_as_its_rows_does_not_fit() -> None:
    stem = "model.layers.0.mlp.experts"
    shapes = fused((8, 8), (8, 4)) | {f"{stem}.gate_up_proj_bias": (3, 7)}
    with pytest.raises(IncompleteCover, match=r"do not fit together.*gate_up_bias \[3, 7\]"):
        orientation(shapes, 8)
