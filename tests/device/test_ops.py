from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.device import ops
from hubbot.plans import Move


def move(*, transposed: bool, rows: tuple[int, int, int] | None) -> Move:
    return Move(
        output="o", shape=(), role="expert", sources=("s",), stacked=False, transposed=transposed, rows=rows,
        quantizable=True,
    )  # fmt: skip


def raw(*shape: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.random.default_rng(2).normal(size=shape).astype(np.float32).view(np.uint32)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rows", [None, (0, 8, 2), (1, 8, 2)])
def test_a_slice_is_transposed_first_and_then_its_rows_are_picked(
    transposed: bool, rows: tuple[int, int, int] | None
) -> None:
    bits = raw(3, 5, 8) if transposed else raw(3, 8, 5)
    expected = bits.view(np.float32)
    expected = expected.swapaxes(-1, -2) if transposed else expected
    if rows:
        expected = expected[:, rows[0] : rows[1] : rows[2]]
    assert np.array_equal(np.array(ops.shape(bits, "F32", move(transposed=transposed, rows=rows))), expected)


def test_rows_that_the_reader_has_picked_already_are_not_picked_again() -> None:
    bits = raw(3, 4, 5)
    assert np.array_equal(
        np.array(ops.shape(bits, "F32", move(transposed=False, rows=(4, 8, 1)))), bits.view(np.float32)
    )


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (2, 3, 3)])
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_every_bit_pattern_arrives_unchanged_in_its_shape(shape: tuple[int, ...], dtype: str) -> None:
    kind = np.uint32 if dtype == "F32" else np.uint16
    bits = np.asarray(np.random.default_rng(1).integers(0, np.iinfo(kind).max, shape), kind)
    array = ops.shape(bits, dtype, move(transposed=False, rows=None))
    assert array.dtype == ops.DTYPES[dtype]
    assert tuple(array.shape) == shape
    assert np.array_equal(np.array(array.view(mx.uint32 if dtype == "F32" else mx.uint16)), bits)


@pytest.mark.parametrize(("value", "finite"), [(1.0, True), (np.nan, False), (np.inf, False), (-np.inf, False)])
def test_one_odd_number_among_many_is_noticed(value: float, finite: bool) -> None:
    array = mx.array(np.where(np.arange(1000) == 777, value, 1.0).astype(np.float32))
    assert bool(ops.all_finite(array).item()) is finite


def test_a_cast_to_half_precision_rounds_to_nearest_even() -> None:
    ties = np.array([1 + 2**-11, 1 + 3 * 2**-11, -1 - 2**-11, 65504, 6e-8], np.float32)
    assert np.array_equal(np.array(ops.cast(mx.array(ties), "F16")), ties.astype(np.float16))
