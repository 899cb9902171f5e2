import mlx.core as mx
import numpy as np
import pytest

from hubbot.engine import floats
from tests.checkpoints_on_disk import BITS, MLX_DTYPES


@pytest.mark.parametrize(("dtype", "bits"), [("F32", 0x7F800000), ("F16", 0x7C00), ("BF16", 0x7F80)])
def test_nan_and_infinity_are_found_and_the_largest_numbers_are_not(dtype: str, bits: int) -> None:
    numbers = np.zeros(9, BITS[dtype])
    numbers[3] = bits - 1
    numbers[4] = (bits - 1) | 1 << (numbers.itemsize * 8 - 1)
    assert floats.all_finite(numbers, dtype)
    for bad in (bits, bits | 1, bits | 1 << (numbers.itemsize * 8 - 1)):
        broken = numbers.copy()
        broken[8] = bad
        assert not floats.all_finite(broken, dtype)
    assert floats.all_finite(numbers[:0], dtype)


@pytest.mark.parametrize("value", [65504.0, 65519.99, -65519.99, 65520.0, -65520.0, 1e20, 0.0])
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_what_float16_cannot_hold_is_what_numpy_makes_infinite(value: float, dtype: str) -> None:
    raw = floats.from_float32(np.array([1.0, value, -2.0], np.float32), dtype)
    with np.errstate(over="ignore"):
        expected = bool(np.isfinite(floats.to_float32(raw, dtype).astype(np.float16)).all())
    assert floats.fits_float16(raw, dtype) is expected


@pytest.mark.parametrize("wanted", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_casts_have_the_bits_of_mlx(dtype: str, wanted: str) -> None:
    values = np.random.default_rng(3).normal(0, 2.0 ** np.arange(-16, 15, 0.01), (3, 3100)).astype(np.float32)
    ties = np.array(
        [1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 6e-8, 0.0, -0.0], np.float32
    )
    raw = floats.from_float32(np.append(values, ties), dtype)
    array = mx.array(raw).view(MLX_DTYPES[dtype]).astype(MLX_DTYPES[wanted])
    expected = np.array(array.view(mx.uint32 if wanted == "F32" else mx.uint16))
    assert np.array_equal(floats.convert_dtype(raw, dtype, wanted), expected)
    out = np.empty(raw.shape, np.float32)
    floats.to_float32_into(out, raw, dtype, rounded_to=wanted)
    assert np.array_equal(out, floats.to_float32(expected, wanted))
