"""mxfp4, mxfp8 and nvfp4 in loops for numba: scales, elements and packing of a group in one pass.

It computes what microscaling.py defines and refuses NaN and infinity.
"""

from typing import Any, Final

import numpy as np
from numba import carray

from hubbot.engine.formats.fused import BLOCK, BRAIN, HALF, MXFP8, NVFP4, SINGLE, SMALLEST_GROUP
from hubbot.engine.formats.fused_groups import (
    BEYOND_HALF,
    INFINITY,
    ONE,
    Array,
    compiled,
    copy_bits,
    pack,
    round_to_brain,
    widen,
)  # fmt: skip

_HALF: Final = np.float32(0.5)
_LEAST_HALF: Final = np.float32(2.0**-14)
_TWO_14: Final = np.float32(2.0**14)
_TWO_14_BITS: Final = np.uint32(0x46800000)
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)


@compiled
def _e2m1(floats: Array, count: int, codes: Array) -> None:
    """Fill `codes` with the e2m1 codes nearest to `floats`, ties to the smaller, without negative zero."""
    for at in range(count):
        size = abs(floats[at])
        code = (
            np.int32(size > np.float32(0.25))
            + np.int32(size > np.float32(0.75))
            + np.int32(size > np.float32(1.25))
            + np.int32(size > np.float32(1.75))
            + np.int32(size > np.float32(2.5))
            + np.int32(size > np.float32(3.5))
            + np.int32(size > np.float32(5))
        )
        sign = np.int32(8) if floats[at] < np.float32(-0.25) else np.int32(0)
        codes[at] = np.uint8(np.int32(code) | sign)


@compiled
def _e4m3(floats: Array, bits: Array, count: int, low: Array, low_bits: Array, out: Array) -> None:
    """Write the e4m3 codes nearest to `floats`, ties to even, to `out`.

    `bits` are those of `floats`; `low` is room for as many floats, `low_bits` the same bytes as uint32.
    """
    for at in range(count):
        # Below 2^-6 codes are multiples of 2^-9: adding 2^14 leaves as many bits.
        low[at] = abs(floats[at]) + _TWO_14
    for at in range(count):
        magnitude = np.uint32(bits[at] & _MAGNITUDE)
        odd = np.uint32(np.uint32(magnitude >> np.uint32(20)) & np.uint32(1))
        raised = np.uint32(np.uint32(magnitude + np.uint32(0x7FFFF)) + odd)
        high = np.uint32(np.uint32(raised - np.uint32(120 << 23)) >> np.uint32(20))
        small = np.uint32(low_bits[at] - _TWO_14_BITS)
        code = small if magnitude < np.uint32(121 << 23) else high
        code = code if magnitude < np.uint32(543 << 21) else np.uint32(0x7E)
        out[at] = np.uint8(code | np.uint32(np.uint32(bits[at] >> np.uint32(24)) & np.uint32(0x80)))


@compiled
def _round(floats: Array, bits: Array, count: int, kind: int) -> None:
    """Round `floats` to those that the weights' dtype has."""
    if kind == BRAIN:
        round_to_brain(bits, count)
    elif kind == HALF:
        for at in range(count):
            size = abs(floats[at])
            # Below 2^-14 float16 has multiples of 2^-24, as float32 has from 0.5 on.
            small = (size + _HALF) - _HALF
            small = -small if floats[at] < np.float32(0) else small
            odd = np.uint32(np.uint32(bits[at] >> np.uint32(13)) & np.uint32(1))
            bits[at] = np.uint32(np.uint32(bits[at] + np.uint32(0xFFF)) + odd) & np.uint32(0xFFFFE000)
            floats[at] = small if size < _LEAST_HALF else floats[at]


@compiled
def _largest(rows: Array, groups: int, kind: int, tops: Array, floats: Array) -> int:
    """Set the bits `tops` of the largest magnitudes `floats`; return the first group that is no number, or -1."""
    for index in range(groups):
        top = np.uint32(0)
        for at in range(rows.shape[1]):
            size = np.uint32(rows[index, at] & _MAGNITUDE)
            top = max(top, size)
        tops[index] = top
    for index in range(groups):
        if tops[index] >= np.uint32(INFINITY) or (kind == HALF and floats[index] >= BEYOND_HALF):
            return index
    return -1


@compiled
def _powers(tops: Array, bits: Array, kind: int, largest: float, scales: Array, factors: Array) -> None:
    """Set e8m0 codes from the groups' largest magnitudes, and the powers of two to multiply weights by."""
    count = scales.size
    for index in range(count):
        tops[index] = tops[index] / largest
    _round(tops, bits, count, kind)
    for index in range(count):
        quotient = bits[index]
        code = np.uint32(np.uint32(quotient + np.uint32(0x7FFFFF)) >> np.uint32(23))
        if quotient <= np.uint32(1 << 22):
            code = np.uint32(0) if quotient else np.uint32(127)
        scales[index] = np.uint8(code)
        # 2^(127 - code); the last one is subnormal.
        bits[index] = np.uint32(1 << 22) if code == 254 else np.uint32((254 - code) << np.uint32(23))
        factors[index] = tops[index]


@compiled
def _divided(
    rows: Array,
    tops: Array,
    bits: Array,
    kind: int,
    values: Array,
    spare: Array,
    spare_bits: Array,
    scales: Array,
    factors: Array,
) -> None:
    """Set e4m3 codes from the groups' largest magnitudes and factors, and divide the weights by their values."""
    count = scales.size
    for index in range(count):
        tops[index] = tops[index] / np.float32(6)
    _round(tops, bits, count, kind)
    for index in range(count):
        tops[index] = tops[index] * factors[index]
    _e4m3(tops, bits, count, spare, spare_bits, scales)
    for index in range(count):
        code = scales[index]
        divisor = values[code] if code else ONE
        factors[index] = factors[index] if code else np.float32(0)
        for at in range(rows.shape[1]):
            rows[index, at] = rows[index, at] / divisor


def microscaling(
    raw: Any,
    count: int,
    kind: int,
    mode: int,
    factors: Any,
    number: int,
    per_factor: int,
    e4m3_values: Any,
    out: Any,
    scales: Any,
    floats: Any,
    codes: Any,
    edges: Any,
) -> int:
    """Quantize `raw` [count] in one of the modes; return the first group that is no number, or -1.

    All are pointers but the integers. Codes go to `out` uint8, scales to uint8 [count / group]. The quotients of
    groups number k * per_factor and following are multiplied by factors[k], float32 [number]; `e4m3_values`
    float32 [256] are those of the codes. Room: `floats` float32 [2, BLOCK], `codes` uint8 [BLOCK], `edges` float32
    [2, BLOCK / SMALLEST_GROUP].
    """
    group = 16 if mode == NVFP4 else 32
    halves, singles = carray(raw, (count,), np.uint16), carray(raw, (count,), np.uint32)
    room, room_bits = carray(floats, (2, BLOCK), np.float32), carray(floats, (2, BLOCK), np.uint32)
    values, spare, bits, spare_bits = room[0], room[1], room_bits[0], room_bits[1]
    rows = carray(floats, (BLOCK // group, group), np.float32)
    bit_rows = carray(floats, (BLOCK // group, group), np.uint32)
    code_bytes = carray(codes, (BLOCK,), np.uint8)
    words = (
        carray(codes, (BLOCK // 2,), np.uint16),
        carray(codes, (BLOCK // 4,), np.uint32),
        carray(codes, (BLOCK // 8,), np.uint64),
    )
    most_groups = BLOCK // SMALLEST_GROUP
    edge_floats, edge_bits = (
        carray(edges, (2, most_groups), np.float32),
        carray(edges, (2, most_groups), np.uint32),
    )
    tops, top_bits, factor_of = edge_floats[0], edge_bits[0], edge_floats[1]
    streams = carray(out, (count,), np.uint8)
    all_scales = carray(scales, (count // group,), np.uint8)
    all_factors, table = carray(factors, (number,), np.float32), carray(e4m3_values, (256,), np.float32)
    for first in range(0, count, BLOCK):
        size = min(BLOCK, count - first)
        groups, base = size // group, first // group
        if kind == SINGLE:
            copy_bits(singles[first : first + size], bits)
        else:
            widen(halves[first : first + size], kind, values, bits)
        bad = _largest(bit_rows, groups, kind, top_bits, tops)
        if bad >= 0:
            return base + bad
        own_scales = all_scales[base : base + groups]
        if mode == NVFP4:
            for index in range(groups):
                factor_of[index] = all_factors[(base + index) // per_factor]
            _divided(rows, tops, top_bits, kind, table, spare, spare_bits, own_scales, factor_of)
            _round(values, bits, size, kind)
        else:
            _powers(tops, top_bits, kind, np.float32(448 if mode == MXFP8 else 6), own_scales, factor_of)
        for index in range(groups):
            factor = factor_of[index]
            for at in range(group):
                rows[index, at] = rows[index, at] * factor
        if mode == MXFP8:
            _e4m3(values, bits, size, spare, spare_bits, streams[first : first + size])
        else:
            _e2m1(values, size, code_bytes)
            pack(code_bytes, words, size, 4, streams[first // 2 : (first + size) // 2])
    return -1
