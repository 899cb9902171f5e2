"""Affine quantization in loops for numba: extremes, scales, codes and packing of a group in one pass.

It computes what affine.py defines, for every bit width at once, and refuses NaN and infinity.
"""

from typing import Any, Final

import numpy as np
from numba import carray

from hubbot.engine.formats.fused import BLOCK, BRAIN, HALF, SINGLE, SMALLEST_GROUP
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

_SMALLEST_SCALE: Final = np.float32(1e-7)


@compiled
def _ordered(bits: Any) -> Any:
    """Return a float's bits as an integer in the floats' order, and such an integer as bits."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@compiled
def _extremes(
    rows: Array, groups: int, kind: int, lows: Array, highs: Array, low_floats: Array, high_floats: Array
) -> int:
    """Set the least and greatest of every group; return the first that is no number, or -1.

    `rows` int32 [>= groups, group] are bits of floats, `lows` and `highs` int32 [>= groups] those of
    `low_floats` and `high_floats`.
    """
    for index in range(groups):
        low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
        for at in range(rows.shape[1]):
            value = _ordered(rows[index, at])
            low = min(low, value)
            high = max(high, value)
        lows[index], highs[index] = low, high
    for index in range(groups):
        is_number = highs[index] < INFINITY and lows[index] > _ordered(np.int32(-0x00800000))
        lows[index], highs[index] = _ordered(lows[index]), _ordered(highs[index])
        if kind == HALF:
            is_number = is_number and high_floats[index] < BEYOND_HALF and low_floats[index] > -BEYOND_HALF
        if not is_number:
            return index
    return -1


@compiled
def _affine_scales(lows: Array, highs: Array, most: float, scales: Array, biases: Array, divisors: Array) -> None:
    """Set scale and bias of every group from its extremes, all float32 [groups], and what to divide by."""
    for index in range(scales.size):
        low, high = lows[index], highs[index]
        below = abs(low) > abs(high)
        scale = max((high - low) / most, _SMALLEST_SCALE)
        scale = scale if below else -scale
        edge = low if below else high
        whole = np.rint(edge / scale)
        moved = whole != np.float32(0)
        scale = edge / (whole if moved else ONE) if moved else scale
        scales[index] = scale
        biases[index] = edge if moved else np.float32(0)
        divisors[index] = ONE if scale == np.float32(0) else scale


@compiled
def _affine_codes(rows: Array, most: float, biases: Array, divisors: Array, codes: Array) -> None:
    """Set codes uint8 [>= groups, group] of floats [>= groups, group]."""
    for index in range(biases.size):
        bias, divisor = biases[index], divisors[index]
        for at in range(rows.shape[1]):
            code = np.rint((rows[index, at] - bias) / divisor)
            codes[index, at] = np.uint8(np.int32(min(most, code)))


def affine(
    raw: Any,
    count: int,
    kind: int,
    brain: int,
    group: int,
    widths: Any,
    starts: Any,
    number: int,
    out: Any,
    nbytes: int,
    scales: Any,
    biases: Any,
    floats: Any,
    codes: Any,
    edges: Any,
) -> int:
    """Quantize `raw` [count] for every bit width of `widths` [number]; return the first group that is no number.

    All are pointers but the integers. -1 says that every group is one. Codes go to `out` uint8 [nbytes] from
    `starts` on, scales and biases to float32 [number, count / group]. `brain` says that the weights are rounded
    to bfloat16 first. Room: `floats` float32 [BLOCK], `codes` uint8 [BLOCK], `edges` float32
    [3, BLOCK / SMALLEST_GROUP].
    """
    step = BLOCK // group * group
    most_groups = BLOCK // SMALLEST_GROUP
    halves, singles = carray(raw, (count,), np.uint16), carray(raw, (count,), np.uint32)
    values, bits = carray(floats, (BLOCK,), np.float32), carray(floats, (BLOCK,), np.uint32)
    # Two axes, both counted from 0: numba then leaves out the look for negative places, and LLVM vectorizes.
    shape = (BLOCK // group, group)
    rows, bit_rows = carray(floats, shape, np.float32), carray(floats, shape, np.int32)
    code_bytes, code_rows = carray(codes, (BLOCK,), np.uint8), carray(codes, shape, np.uint8)
    words = (
        carray(codes, (BLOCK // 2,), np.uint16),
        carray(codes, (BLOCK // 4,), np.uint32),
        carray(codes, (BLOCK // 8,), np.uint64),
    )
    edge_floats = carray(edges, (3, most_groups), np.float32)
    edge_bits, edge_words = carray(edges, (3, most_groups), np.int32), carray(edges, (3, most_groups), np.uint32)
    streams = carray(out, (nbytes,), np.uint8)
    all_widths, all_starts = carray(widths, (number,), np.int64), carray(starts, (number,), np.int64)
    all_scales = carray(scales, (number, count // group), np.float32)
    all_biases = carray(biases, (number, count // group), np.float32)
    lows, highs, divisors = edge_floats[0], edge_floats[1], edge_floats[2]
    # A step that is no constant could be zero to numba, which would then raise.
    for block in range((count + step - 1) // step):
        first = block * step
        size = min(step, count - first)
        groups, base = size // group, first // group
        if kind == SINGLE:
            copy_bits(singles[first : first + size], bits)
        else:
            widen(halves[first : first + size], kind, values, bits)
        bad = _extremes(bit_rows, groups, kind, edge_bits[0], edge_bits[1], lows, highs)
        if bad >= 0:
            return base + bad
        if brain and kind != BRAIN:
            # Rounding keeps the order, so the extremes can be rounded by themselves.
            round_to_brain(bits, size)
            round_to_brain(edge_words[0], groups)
            round_to_brain(edge_words[1], groups)
        for one in range(number):
            width = all_widths[one]
            most = np.float32((1 << width) - 1)
            own_scales, own_biases = all_scales[one, base : base + groups], all_biases[one, base : base + groups]
            _affine_scales(lows, highs, most, own_scales, own_biases, divisors)
            _affine_codes(rows, most, own_biases, divisors, code_rows)
            start = all_starts[one] + first * width // 8
            pack(code_bytes, words, size, width, streams[start : start + size * width // 8])
    return -1
