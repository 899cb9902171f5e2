"""mxfp4, mxfp8 and nvfp4 in numpy: the definition of the bits that hubbot writes.

Elements are e2m1 (ties to the smaller magnitude, no negative zero) or e4m3 (ties to even, largest 448). Scales are
e8m0 per 32 elements or e4m3 per 16 (OCP Microscaling 1.0; NVIDIA's nvfp4). The bits are those of mx.quantize on a
CPU (mlx 0.32.4), but where its scales leave their range: see `e8m0_scales` and `e2m1`.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import from_float32, to_float32

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
# mode -> bits of an element, elements that share a scale.
SHAPES: Final = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
LARGEST_E2M1: Final = np.float32(6)
LARGEST_E4M3: Final = np.float32(448)
# With a tensor scale, the tensor's largest magnitude stands for the largest element times the largest scale.
FULL_SCALE: Final = np.float32(6 * 448)
BIAS: Final = 127
# Elements at a time: the temporaries stay in the cache.
BLOCK: Final = 1 << 17
_LARGEST_FLOAT: Final = np.finfo(np.float32).max
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_BOUNDARIES: Final = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], np.float32)
# A magnitude is looked up by its float32 bits above this many, rounded up: e2m1's boundaries have none below.
_DROPPED: Final = np.uint32(19)


def _e2m1_table() -> Bytes:
    tops = np.minimum(np.arange(1 << 12, dtype=np.uint32), np.uint32(0xFF0)) << _DROPPED
    return np.searchsorted(_BOUNDARIES, tops.view(np.float32), side="left").astype(np.uint8)


def _e4m3_values() -> Floats:
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    value = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    value[(code & 127) == 127] = np.nan
    return np.where(code & 128, -value, value).astype(np.float32)


_E2M1: Final = _e2m1_table()
E4M3_VALUES: Final = _e4m3_values()


def quantize(
    raw: npt.NDArray[Any], dtype: str, *, mode: str, largest: Floats | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Return "weight" uint32 [..., in * bits / 32] and "scales" uint8 [..., in / group] of finite weights.

    `raw` are bits [..., in] of `dtype` (F32, F16 or BF16), in which quotients are rounded, as MLX does. `largest`,
    for nvfp4, is float32 [experts], each the largest magnitude of `raw`[expert]; it is stored as the tensor scale.
    """
    bits, size = SHAPES[mode]
    *lead, width = raw.shape
    flat = np.ascontiguousarray(raw).reshape(-1, size)
    codes = np.empty((len(flat), size), np.uint8)
    scales = np.empty(len(flat), np.uint8)
    factors = tensor_factors(largest)
    per_factor = max(1, len(flat) // max(1, len(factors)))
    for number, factor in enumerate(factors):
        stop = (number + 1) * per_factor
        for first in range(number * per_factor, stop, BLOCK // size):
            part = slice(first, min(stop, first + BLOCK // size))
            groups = to_float32(flat[part], dtype)
            codes[part], scales[part] = (
                _nvfp4(groups, dtype, factor) if mode == "nvfp4" else _mx(groups, dtype, mode)
            )
    packed = codes if bits == 8 else codes[:, 0::2] | (codes[:, 1::2] << np.uint8(4))
    weight = packed.reshape(-1).view(np.uint32).reshape(*lead, width * bits // 32)
    return {"weight": weight, "scales": scales.reshape(*lead, width // size)}


def largest_magnitudes(raw: npt.NDArray[Any], dtype: str) -> Floats:
    """Return the largest magnitudes, float32 [experts], of `raw`: bits [experts, ...] of `dtype`."""
    # Without their sign, floats are in the order of their bits.
    unsigned = raw.dtype.type(0x7FFFFFFF if dtype == "F32" else 0x7FFF)
    found = (raw.reshape(len(raw), -1) & unsigned).max(axis=1, initial=raw.dtype.type(0))
    return to_float32(np.ascontiguousarray(found), dtype)


def tensor_factors(largest: Floats | None) -> Floats:
    """Return what block scales are multiplied by, float32 [experts]; one number 1 without tensor scales.

    It is FULL_SCALE / largest, 1 for an expert of zeros, and never infinite.
    """
    if largest is None:
        return np.ones(1, np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        factors = np.minimum(FULL_SCALE / largest, _LARGEST_FLOAT)
    return np.where(largest == 0, np.float32(1), factors).astype(np.float32)


def e8m0_scales(quotients: Floats) -> Bytes:
    """Return e8m0 codes of non-negative `quotients`: the next power of two not below; 2^0 for zero.

    Powers below 2^-127, the least there is, become 2^-127; MLX's CPU code lets them wrap around to huge ones.
    """
    bits = quotients.view(np.uint32)
    # Subnormals above 2^-127 round up to 2^-126, all others to 2^-127.
    exponents = (bits + np.uint32(0x7FFFFF)) >> np.uint32(23)
    exponents = np.where(bits <= np.uint32(1 << 22), np.uint32(0), exponents)
    return np.where(quotients > 0, exponents, np.uint32(BIAS)).astype(np.uint8)


def e4m3(values: Floats) -> Bytes:
    """Return the e4m3 codes [...] nearest to float32 `values`, ties to even; beyond 448 it is 448."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    magnitude = bits & _MAGNITUDE
    # Below 2^-6 the codes are multiples of 2^-9: adding 2^14 leaves as many bits, rightly rounded.
    step = np.float32(2.0**14)
    low = (magnitude.view(np.float32) + step).view(np.uint32) - step.view(np.uint32)
    odd = (magnitude >> np.uint32(20)) & np.uint32(1)
    high = (magnitude + (np.uint32(0x7FFFF) + odd) - np.uint32(120 << 23)) >> np.uint32(20)
    codes = np.where(magnitude < np.uint32(121 << 23), low, high)
    codes = np.where(magnitude >= np.uint32(543 << 21), np.uint32(0x7E), codes)
    found: npt.NDArray[np.uint8] = (codes | ((bits >> np.uint32(24)) & np.uint32(0x80))).astype(np.uint8)
    return found


def e2m1(values: Floats) -> Bytes:
    """Return the e2m1 codes [...] nearest to float32 `values`, ties to the smaller; beyond 6 it is 6.

    MLX's CPU code gives 0 for what is so far beyond 6 that float32 cannot tell its distances apart.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    # Rounding the dropped bits up keeps "above a boundary" exact, because boundaries have no dropped bits.
    keys = ((bits & _MAGNITUDE) + np.uint32((1 << 19) - 1)) >> _DROPPED
    codes = np.take(_E2M1, keys.view(np.int32), mode="clip")
    sign = (bits >> np.uint32(28)).astype(np.uint8) & np.uint8(8)
    return codes | (sign * np.minimum(codes, np.uint8(1)))


def _mx(groups: Floats, dtype: str, mode: str) -> tuple[Bytes, Bytes]:
    largest = np.abs(groups).max(axis=-1)
    quotients = _rounded(largest / (LARGEST_E4M3 if mode == "mxfp8" else LARGEST_E2M1), dtype)
    scales = e8m0_scales(quotients)
    # A power of two is a float for every code below 255; the quotients are exact, or too small to matter.
    inverse = np.exp2(BIAS - scales.astype(np.float64)).astype(np.float32)
    values = groups * inverse[:, None]
    return (e4m3(values) if mode == "mxfp8" else e2m1(values)), scales


def _nvfp4(groups: Floats, dtype: str, factor: np.float32) -> tuple[Bytes, Bytes]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scales = e4m3(_rounded(np.abs(groups).max(axis=-1) / LARGEST_E2M1, dtype) * factor)
        values = _rounded(groups / E4M3_VALUES[scales][:, None], dtype) * factor
    return np.where((scales == 0)[:, None], np.uint8(0), e2m1(values)), scales


def _rounded(values: Floats, dtype: str) -> Floats:
    """Return float32 values rounded to those that `dtype` has."""
    return values if dtype == "F32" else to_float32(from_float32(values, dtype), dtype)
