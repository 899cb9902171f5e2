"""Whatever finite numbers a group holds: mx.quantize stays within the bound, and numpy decodes as mx does."""

import mlx.core as mx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubbot.checks.readers.decoding import decode
from hubbot.checks.readers.tensor_files import narrow, widen
from hubbot.checks.values.bounds import error_bound
from tests.checkpoints_on_disk import from_mlx
from tests.reference.checkpoints import Floats

FIXED = settings(max_examples=200, deadline=None, derandomize=True, database=None)
groups = hnp.arrays(np.float32, (2, 64), elements=st.floats(-1e4, 1e4, width=32))
bits_of_floats = hnp.arrays(np.uint32, 32, elements=st.integers(0, 2**32 - 1))


@FIXED
@given(groups, st.sampled_from([3, 4, 5, 6, 8]), st.sampled_from(["F32", "BF16"]))
def test_affine_quantization_stays_within_the_bound(source: Floats, bits: int, dtype: str) -> None:
    array = mx.array(source).astype(mx.float32 if dtype == "F32" else mx.bfloat16)
    exact = np.array(array.astype(mx.float32))
    made = mx.quantize(array, group_size=64, bits=bits)
    raw = {name: from_mlx(part)[1] for name, part in zip(("weight", "scales", "biases"), made, strict=True)}
    if dtype == "F32":
        raw = {name: part if name == "weight" else part.view(np.float32) for name, part in raw.items()}
    restored = decode(raw, mode="affine", bits=bits, group_size=64, scale_dtype=dtype)
    bound = error_bound(exact, mode="affine", bits=bits, group_size=64, scale_dtype=dtype)
    error = np.abs(exact.astype(np.float64) - restored).reshape(2, 1, 64).max(axis=-1)
    assert (error <= bound).all()
    weight, scales, biases = made
    theirs = mx.dequantize(weight, scales.astype(mx.float32), biases.astype(mx.float32), group_size=64, bits=bits)
    assert np.array_equal(restored, np.array(theirs))


@FIXED
@given(bits_of_floats)
def test_rounding_to_sixteen_bits_is_mlxs_for_every_finite_float(
    raw: np.ndarray[tuple[int, ...], np.dtype[np.uint32]],
) -> None:
    values = raw.view(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(1.0))
    for dtype, kind in (("BF16", mx.bfloat16), ("F16", mx.float16)):
        theirs = mx.array(values).astype(kind)
        assert np.array_equal(narrow(values, dtype), np.array(theirs.view(mx.uint16)))
        held = narrow(values, dtype)
        wide = widen(held if dtype == "BF16" else held.view(np.float16), dtype)
        assert np.array_equal(wide, np.array(theirs.astype(mx.float32)))
    assert np.array_equal(narrow(values, "F32"), values.view(np.uint32))
