import numpy as np
import pytest

from hubbot.checks.tracer.element_ids import MOST, NOWHERE, Numbering
from hubbot.errors import ConfigUnresolved

SHAPES = {"a": (4, 6), "b": (), "c": (3, 5), "empty": (0, 4), "d": (2,)}
NUMBERING = Numbering(SHAPES)
TENSORS = [dict(NUMBERING.tensors(number)) for number in (0, 1)]


def both(name: str) -> tuple[np.ndarray, np.ndarray]:
    return TENSORS[0][name], TENSORS[1][name]


def test_every_element_has_a_number_of_its_own_in_each_pass() -> None:
    assert NUMBERING.total == 24 + 1 + 15 + 2
    for tensors in TENSORS:
        numbers = np.concatenate([values.ravel() for values in tensors.values()])
        assert sorted(numbers.tolist()) == list(range(1, 43))
        assert {name: values.shape for name, values in tensors.items()} == SHAPES
    assert not np.array_equal(*NUMBERING.passes)


def test_a_tensor_is_traced_to_itself_wherever_its_elements_have_gone() -> None:
    first, second = both("c")
    traced = NUMBERING.trace(first.T[:, ::-1], second.T[:, ::-1])
    assert traced.elements.tolist() == np.arange(25, 40).reshape(3, 5).T[:, ::-1].tolist()
    assert (traced.scale, traced.addend) == (1, 0)
    assert NUMBERING.tensor_of(traced.elements).tolist() == [[2, 2, 2]] * 5


@pytest.mark.parametrize("addend", [1, 2, -1])
def test_a_constant_that_was_added_is_found_without_knowing_the_source(addend: float) -> None:
    first, second = both("a")
    traced = NUMBERING.trace(first + np.float32(addend), second + np.float32(addend))
    assert traced.elements.tolist() == np.arange(24).reshape(4, 6).tolist()
    assert traced.addend == addend


@pytest.mark.parametrize(("scale", "addend"), [(0.5, 0.0), (3.0, 7.0), (-1.0, 0.25)])
def test_an_affine_fold_of_the_guessed_elements_is_the_same_under_both_numberings(
    scale: float, addend: float
) -> None:
    first, second = (np.float32(scale) * values + np.float32(addend) for values in both("c"))
    traced = NUMBERING.trace(first, second, np.arange(25, 40).reshape(3, 5))
    assert (traced.scale, traced.addend) == (scale, addend)
    assert not traced.is_computed


def test_a_fold_that_differs_between_the_numberings_is_none() -> None:
    first, second = both("c")
    assert NUMBERING.trace(first * 3, second * 5, np.arange(25, 40).reshape(3, 5)).is_computed


def test_sums_and_means_of_elements_are_computed() -> None:
    shapes = {"x": (1000,), "y": (1000,)}
    numbering = Numbering(shapes)
    one, other = (dict(numbering.tensors(number)) for number in (0, 1))
    guess = np.arange(1000)
    assert numbering.trace(one["x"] + one["y"], other["x"] + other["y"], guess).is_computed
    means = [(part["x"] + part["y"]) / np.float32(2) for part in (one, other)]
    assert (numbering.trace(means[0], means[1], guess).elements == NOWHERE).mean() > 0.99


@pytest.mark.parametrize("value", [0.0, -3.0, 1e9, np.nan, np.inf, 2.5])
def test_what_no_element_has_is_nowhere(value: float) -> None:
    first, second = (values.copy() for values in both("d"))
    first[1] = second[1] = value
    assert NUMBERING.trace(first, second).elements.tolist() == [40, NOWHERE]


def test_more_elements_than_float32_tells_apart_are_refused() -> None:
    with pytest.raises(ConfigUnresolved, match="tells no more than"):
        Numbering({"a": (MOST + 1,)})
    assert np.float32(MOST + 2) != np.float32(MOST + 3)
