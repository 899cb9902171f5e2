"""Rows of quantized weights decoded to float32 by kernels that numba compiles; importing it needs numba.

MLX's CPU decodes 6-bit codes twenty times slower. No fastmath; kernels release the interpreter's lock.
"""

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# Codes spread to bytes at a time; a multiple of every group size.
_CODES: Final = 4096
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _spread(stream: Array, bits: int, codes: Array) -> None:
    """Fill `codes` uint8 [a multiple of 8] from a stream of codes of `bits` bits, the lowest first."""
    if bits == 8:
        for at in range(codes.size):
            codes[at] = stream[at]
    elif bits == 4:
        for at in range(codes.size // 2):
            byte = stream[at]
            codes[2 * at] = byte & np.uint8(15)
            codes[2 * at + 1] = byte >> np.uint8(4)
    else:
        mask = np.uint64((1 << bits) - 1)
        for eight in range(codes.size // 8):
            word = np.uint64(0)
            for place in range(bits):
                word |= np.uint64(stream[eight * bits + place]) << np.uint64(8 * place)
            for place in range(8):
                codes[eight * 8 + place] = np.uint8((word >> np.uint64(place * bits)) & mask)


@_compiled
def decode_affine(stream: Array, bits: int, scales: Array, biases: Array, out: Array) -> None:
    """Set `out` float32 [groups, group] to scale * code + bias; `scales` and `biases` are float32 [groups]."""
    size = out.shape[1]
    together = max(1, _CODES // size)
    codes = np.empty(together * size, np.uint8)
    rows = codes.reshape(-1, size)
    for first in range(0, out.shape[0], together):
        count = min(together, out.shape[0] - first)
        start = first * size * bits // 8
        _spread(stream[start : start + count * size * bits // 8], bits, codes[: count * size])
        for index in range(count):
            scale, bias = scales[first + index], biases[first + index]
            for at in range(size):
                out[first + index, at] = scale * np.float32(rows[index, at]) + bias


@_compiled
def decode_table(stream: Array, bits: int, scales: Array, values: Array, out: Array) -> None:
    """Set `out` float32 [groups, group] to scale * values[code]; codes have 4 or 8 bits."""
    size = out.shape[1]
    half = bits == 4
    for index in range(out.shape[0]):
        scale = scales[index]
        for at in range(size):
            place = index * size + at
            code = (stream[place >> 1] >> np.uint8(4 * (place & 1))) & np.uint8(15) if half else stream[place]
            out[index, at] = scale * values[code]
