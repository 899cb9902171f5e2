"""MLX's quantized formats decoded in plain numpy, to check mx.dequantize against.

Sources: mlx/backend/cpu/quantized.cpp and mlx.core.quantize's documentation; the OCP Microscaling (MX)
specification 1.0 for e2m1, e4m3 and e8m0. Codes are packed least significant bit first.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.packed_words import unpack
from hubbot.checks.readers.tensor_files import Floats, widen

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
# nvfp4 with a tensor scale: the largest e2m1 value times the largest e4m3 value stand for the tensor's maximum.
NVFP4_FULL_SCALE = np.float32(6.0 * 448.0)


def _e4m3() -> Floats:
    code = np.arange(256)
    sign = np.where(code >> 7, -1.0, 1.0)
    exponent, mantissa = (code >> 3) & 15, code & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    table = (sign * value).astype(np.float32)
    table[[127, 255]] = np.nan
    return table


E4M3 = _e4m3()
# Made in float64: numpy's exp2 of a large float32 is off by its last bits.
E8M0 = np.append(np.exp2(np.arange(255, dtype=np.float64) - 127), np.nan).astype(np.float32)


def codes(packed: npt.NDArray[Any], bits: int) -> npt.NDArray[np.int64]:
    """Return the integer codes [..., in] of packed uint32 words [..., in * bits / 32]."""
    stream = np.unpackbits(np.ascontiguousarray(packed).view(np.uint8), axis=-1, bitorder="little")
    groups = stream.reshape(*stream.shape[:-1], -1, bits).astype(np.int64)
    return groups @ (1 << np.arange(bits, dtype=np.int64))


def decode(
    parts: Mapping[str, npt.NDArray[Any]], *, mode: str, bits: int, group_size: int, scale_dtype: str
) -> Floats:
    """Return float32 weights [..., in] from stored parts: weight, scales, and biases or global_scale."""
    values = unpack(parts["weight"], bits)
    if mode == "affine":
        scale = _spread(widen(parts["scales"], scale_dtype), group_size)
        return values.astype(np.float32) * scale + _spread(widen(parts["biases"], scale_dtype), group_size)
    table = E4M3 if bits == 8 else E2M1
    if mode == "nvfp4":
        scale = E4M3[parts["scales"]]
        if "global_scale" in parts:
            scale = scale * (parts["global_scale"] / NVFP4_FULL_SCALE)[..., None, None]
    else:
        scale = E8M0[parts["scales"]]
    return (table[values] * _spread(scale, group_size)).astype(np.float32)


def _spread(per_group: Floats, group_size: int) -> Floats:
    return np.repeat(per_group, group_size, axis=-1)
