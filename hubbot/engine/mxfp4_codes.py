"""mxfp4 on a CPU in numpy: the same bits as mx.quantize, more than ten times as fast as its CPU kernel.

Per group of 32: scale 2^ceil(log2(max / 6)) as e8m0, elements to the nearest e2m1, ties to the smaller
magnitude, no negative zero (observed of mlx 0.32, mlx/backend/cpu/fp_quantized; OCP MX specification 1.0).
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

GROUP: Final = 32
LARGEST: Final = 6.0
BIAS: Final = 127
THREADS: Final = 2
# Groups at a time: the temporaries stay in the cache.
BLOCK: Final = 8192
# Below this MLX's arithmetic underflows, and its results are its own.
SMALLEST: Final = 2.0**-100
SMALLEST_HALF: Final = 2.0**-11
Bits = npt.NDArray[np.uint32]
# A magnitude is looked up by its float32 bits above this many, rounded up: e2m1's boundaries need three.
_DROPPED: Final = 19
_STEPS: Final = 1 << (23 - _DROPPED)
# Exponents, relative to the scale's, between which magnitudes differ: below all are 0, above all are 6.
_LOWEST, _HIGHEST = BIAS - 3, BIAS + 3
_BOUNDARIES = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], np.float32)


def _table() -> npt.NDArray[np.uint8]:
    keys = np.arange(_LOWEST * _STEPS, _HIGHEST * _STEPS + 1, dtype=np.uint32)
    magnitudes = (keys << _DROPPED).view(np.float32)
    return np.searchsorted(_BOUNDARIES, magnitudes, side="left").astype(np.uint8)


_CODES = _table()


def can_quantize(values: npt.NDArray[np.float32], *, half: bool) -> bool:
    """Say whether `quantize` gives MLX's bits: every group of float32 [..., in] is zero or above MLX's underflow.

    `half` says that the values come from float16, in which MLX then computes the scale.
    """
    largest = np.abs(values.reshape(-1, GROUP)).max(axis=-1)
    return bool(np.all((largest == 0) | (largest > (SMALLEST_HALF if half else SMALLEST))))


def quantize(values: npt.NDArray[np.float32]) -> tuple[Bits, npt.NDArray[np.uint8]]:
    """Return (weight [..., in / 8] uint32, scales [..., in / 32] uint8) of finite float32 values [..., in]."""
    flat = np.ascontiguousarray(values).reshape(-1, GROUP)
    weight = np.empty((flat.shape[0], GROUP // 2), np.uint8)
    scales = np.empty(flat.shape[0], np.uint8)

    def block(start: int) -> None:
        part = slice(start, start + BLOCK)
        _quantize(flat[part], weight[part], scales[part])

    # numpy releases the interpreter's lock in all of the loops in a block.
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(block, range(0, flat.shape[0], BLOCK)))
    lead, width = values.shape[:-1], values.shape[-1]
    return weight.view(np.uint32).reshape(*lead, width // 8), scales.reshape(*lead, width // GROUP)


def _quantize(groups: npt.NDArray[Any], weight: npt.NDArray[np.uint8], scales: npt.NDArray[np.uint8]) -> None:
    bits = groups.view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    scales[:] = _scale(magnitude.max(axis=-1).view(np.float32))
    # Rounding the dropped bits up keeps "above a boundary" exact, because boundaries have no dropped bits.
    magnitude += np.uint32((1 << _DROPPED) - 1)
    magnitude >>= np.uint32(_DROPPED)
    keys = magnitude.view(np.int32)
    keys -= ((scales.astype(np.int32) - BIAS + _LOWEST) * _STEPS)[:, None]
    codes = np.take(_CODES, keys, mode="clip")
    sign = (bits >> np.uint32(28)).astype(np.uint8)
    sign &= np.minimum(codes, np.uint8(1)) << np.uint8(3)
    codes |= sign
    np.bitwise_or(codes[:, 0::2], codes[:, 1::2] << np.uint8(4), out=weight)


def _scale(largest: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return ceil(log2(largest / 6)) as e8m0, read off the quotient's own bits; 1.0 for a group of zeros."""
    bits = (largest / np.float32(LARGEST)).view(np.uint32)
    exponent = (bits + np.uint32(0x7FFFFF)) >> np.uint32(23)
    return np.where(largest > 0, np.minimum(exponent, 254), BIAS).astype(np.uint8)
