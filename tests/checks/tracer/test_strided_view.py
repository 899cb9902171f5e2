import numpy as np
import pytest

from hubbot.checks.tracer.strided_view import view_of

TENSOR = np.arange(24).reshape(4, 6)
STACK = np.arange(48).reshape(2, 6, 4)


@pytest.mark.parametrize(
    ("elements", "told"),
    [
        (TENSOR, "as it is"),
        (TENSOR.reshape(2, 12), "as it is"),
        (TENSOR.T, "transposed"),
        (TENSOR[1:3], "[1:3 of 4, :]"),
        (TENSOR[:, ::2], "[:, 0:6:2 of 6]"),
        (TENSOR[1::2, 3:].T, "[1:4:2 of 4, 3:6 of 6] transposed"),
        (TENSOR.reshape(2, 2, 6).swapaxes(-1, -2), "of each of 2 units transposed"),
        (TENSOR[[0, 1, 2]], "[0:3 of 4, :]"),
        (TENSOR[[2]], "[2:3 of 4, :]"),
    ],
)
def test_a_part_of_a_matrix_is_told_as_a_slice(elements: np.ndarray, told: str) -> None:
    assert str(view_of(elements, (4, 6))) == told


@pytest.mark.parametrize(
    ("elements", "told"),
    [
        (STACK[:, :3], "[:, 0:3 of 6, :]"),
        (STACK.swapaxes(-1, -2)[:, :, 1::2], "[:, 1:6:2 of 6, :] transposed"),
        (STACK.transpose(2, 0, 1), "axes [2, 0, 1]"),
    ],
)
def test_a_part_of_a_stack_is_told_as_a_slice(elements: np.ndarray, told: str) -> None:
    assert str(view_of(elements, (2, 6, 4))) == told


def test_heads_split_off_a_projection_are_units_of_it() -> None:
    heads = np.arange(4 * 5 * 3).reshape(4, 5, 3)
    assert str(view_of(heads[:, :2].swapaxes(-1, -2), (20, 3))) == "of each of 4 units [:, 0:2 of 5, :] transposed"
    assert str(view_of(heads[:, 2:], (20, 3))) == "of each of 4 units [:, 2:5 of 5, :]"


def test_a_scalar_and_a_vector_are_what_they_are() -> None:
    assert str(view_of(np.array(0), ())) == "as it is"
    assert str(view_of(np.arange(2, 5), (8,))) == "[2:5 of 8]"


@pytest.mark.parametrize(
    "elements",
    [TENSOR[::-1], TENSOR[[0, 3, 1, 2]], TENSOR[[0, 1, 3]], np.array([[0, 1], [6, 8]]), np.array([0, 0, 1])],
)
def test_what_is_no_slice_has_no_view(elements: np.ndarray) -> None:
    assert view_of(elements, (4, 6)) is None


def test_a_tensor_of_more_axes_than_anything_has_is_not_described() -> None:
    assert view_of(np.arange(32), (2, 2, 2, 2, 2)) is None
