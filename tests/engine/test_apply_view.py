from typing import Any

import numpy as np
import pytest

from hubbot.checkpoints import TensorInfo
from hubbot.engine import apply_view
from hubbot.engine.reader import Sources
from hubbot.engine.slices import Slice, region
from hubbot.moves import TRANSPOSE, Move, Step


def sources(dtype: str, *shape: int) -> Sources:
    info = TensorInfo(name="s", dtype=dtype, shape=shape, shard="m", start=0, end=0)
    return Sources(tensors={"s": info}, packed={})


def shaped(raw: Any, dtype: str, *shape: int, view: tuple[Step, ...] = ()) -> tuple[Any, str]:
    move = Move(
        output="o", shape=shape, role="other", sources=("s",), stacked=False, quantizable=False, view=view
    )  # fmt: skip
    part = Slice(move=move, start=0, stop=len(raw) if raw.ndim else 1, nbytes=0)
    area = region(move, raw.shape[1:], None)
    return apply_view.apply(raw if raw.ndim else raw[None], area, part, sources(dtype, *raw.shape))


def test_a_transposed_slice_is_contiguous_and_turned() -> None:
    raw = np.arange(3 * 5 * 8, dtype=np.uint16).reshape(3, 5, 8)
    found, dtype = shaped(raw, "BF16", 3, 8, 5, view=(TRANSPOSE,))
    assert dtype == "BF16"
    assert found.flags.c_contiguous
    assert np.array_equal(found, raw.swapaxes(1, 2))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (2, 3, 3)])
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_every_bit_pattern_arrives_unchanged_in_its_shape(shape: tuple[int, ...], dtype: str) -> None:
    kind = np.uint32 if dtype == "F32" else np.uint16
    bits = np.asarray(np.random.default_rng(1).integers(0, np.iinfo(kind).max, shape), kind)
    found, made = shaped(bits, dtype, *shape)
    assert (found.shape, made) == (shape, dtype)
    assert np.array_equal(found, bits)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_a_norm_fold_adds_one_in_float32_and_is_not_rounded_yet(dtype: str) -> None:
    values = np.array([0.001, -0.5, 0.30078125], np.float32)
    raw = {"F32": values.view(np.uint32), "F16": values.astype(np.float16).view(np.uint16)}.get(dtype)
    raw = (values.view(np.uint32) >> 16).astype(np.uint16) if raw is None else raw
    found, made = shaped(raw, dtype, 3, view=(Step(kind="add", value=1.0),))
    exact = {"F16": values.astype(np.float16).astype(np.float32), "F32": values}.get(
        dtype, (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    )
    assert made == "F32"
    assert np.array_equal(found.view(np.float32), exact + np.float32(1))


@pytest.mark.parametrize(
    ("least", "constant"), [(0.1, 0.0), (0.0, 0.0), (-0.5, 0.5), (-0.51, 1.0), (-3.0, 4.0), (-4.0, 4.0)]
)
def test_biases_are_shifted_by_the_smallest_power_of_two_that_leaves_none_negative(
    least: float, constant: float
) -> None:
    values = np.array([0.75, least, 2.0], np.float32)
    found, _ = shaped(values.view(np.uint32), "F32", 3, view=(Step(kind="shift"),))
    assert np.array_equal(found.view(np.float32), values + np.float32(constant))
    assert found.view(np.float32).min() >= 0


def test_units_become_the_parameters_own_axes() -> None:
    raw = np.arange(12, dtype=np.uint32).reshape(4, 3)
    found, _ = shaped(raw, "F32", 12)
    assert np.array_equal(found, np.arange(12))
