"""What the fused kernels share: widening of stored floats, rounding to bfloat16, packing of codes.

Only the process that compiles them imports it, with numba. Every float operation is one of float32, in the order
of the definition: no fastmath, no contraction. Nothing allocates or raises, so that nothing of numba is called.
"""

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from hubbot.engine.formats.fused import BRAIN, HALF

Array = npt.NDArray[Any]
ONE: Final = np.float32(1)
INFINITY: Final = np.int32(0x7F800000)
# The first number beyond float16, as float16's infinity is widened.
BEYOND_HALF: Final = np.float32(65536)
_TWO_112: Final = np.float32(2.0**112)
compiled = numba.njit(error_model="numpy")


@compiled
def widen(part: Array, kind: int, floats: Array, bits: Array) -> None:
    """Fill `floats`, whose bits `bits` uint32 are, with the values of `part` uint16, of kind HALF or BRAIN."""
    count = part.size
    if kind == BRAIN:
        for at in range(count):
            bits[at] = np.uint32(part[at]) << np.uint32(16)
    elif kind == HALF:
        for at in range(count):
            bits[at] = (np.uint32(part[at]) & np.uint32(0x7FFF)) << np.uint32(13)
        for at in range(count):
            floats[at] = floats[at] * _TWO_112
        for at in range(count):
            bits[at] |= (np.uint32(part[at]) & np.uint32(0x8000)) << np.uint32(16)


@compiled
def copy_bits(part: Array, bits: Array) -> None:
    """Fill `bits` with the floats' bits `part`, both uint32."""
    for at in range(part.size):
        bits[at] = part[at]


@compiled
def round_to_brain(bits: Array, count: int) -> None:
    """Round the floats whose bits `bits` uint32 are to bfloat16, ties to even."""
    for at in range(count):
        odd = (bits[at] >> np.uint32(16)) & np.uint32(1)
        bits[at] = (bits[at] + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)


@compiled
def pack(codes: Array, words: tuple[Array, Array, Array], count: int, width: int, out: Array) -> None:
    """Write `count` codes as a stream of `width` bits each, lowest bit first, to `out`.

    `words` are the same codes as uint16, uint32 and uint64.
    """
    pairs, fours, eights = words
    if width == 8:
        for at in range(count):
            out[at] = codes[at]
    elif width == 4:
        for at in range(count // 2):
            out[at] = np.uint8(pairs[at] | (pairs[at] >> np.uint16(4)))
    elif width == 2:
        for at in range(count // 4):
            four = fours[at]
            out[at] = np.uint8(four | (four >> np.uint32(6)) | (four >> np.uint32(12)) | (four >> np.uint32(18)))
    elif width == 6:
        _pack_sixes(fours, count // 4, out)
    else:
        _pack_odd(eights, count // 8, width, out)


@compiled
def _pack_sixes(fours: Array, count: int, out: Array) -> None:
    for at in range(count):
        four, place = fours[at], 3 * at
        first = four | ((four >> np.uint32(2)) & np.uint32(0xC0))
        second = ((four >> np.uint32(10)) & np.uint32(0xF)) | ((four >> np.uint32(12)) & np.uint32(0xF0))
        third = ((four >> np.uint32(20)) & np.uint32(3)) | ((four >> np.uint32(22)) & np.uint32(0xFC))
        out[place], out[place + 1], out[place + 2] = np.uint8(first), np.uint8(second), np.uint8(third)


@compiled
def _pack_odd(eights: Array, count: int, width: int, out: Array) -> None:
    for at in range(count):
        word, eight = np.uint64(0), eights[at]
        for place in range(8):
            code = (eight >> np.uint64(place * 8)) & np.uint64(0xFF)
            word |= code << np.uint64(place * width)
        for place in range(width):
            out[at * width + place] = np.uint8((word >> np.uint64(place * 8)) & np.uint64(0xFF))
