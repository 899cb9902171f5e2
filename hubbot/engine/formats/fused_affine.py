"""Affine quantization compiled by numba: extremes, scales, codes and packing of a group in one pass.

It computes what affine.py defines, for every bit width at once, and refuses NaN and infinity.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from hubbot.engine.floats import NotFinite, convert_dtype, from_float32
from hubbot.engine.formats.fused_groups import (
    BEYOND_HALF,
    BLOCK,
    BRAIN,
    HALF,
    INFINITY,
    KINDS,
    ONE,
    Array,
    compiled,
    pack,
    round_to_brain,
    widen,
)  # fmt: skip

# Of the codes of every width in one buffer.
_ALIGNMENT: Final = 64
_SMALLEST_SCALE: Final = np.float32(1e-7)


@compiled
def _ordered(bits: Any) -> Any:
    """Return a float's bits as an integer in the floats' order, and such an integer as bits."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@compiled
def _extremes(rows: Array, groups: int, kind: int, lows: Array, highs: Array) -> int:
    """Set the bits of the least and greatest of every group; return the first that is no number, or -1.

    `rows` int32 [>= groups, group] are bits of floats, `lows` and `highs` int32 [>= groups].
    """
    low_floats, high_floats = lows.view(np.float32), highs.view(np.float32)
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


@compiled
def affine(
    raw: Array,
    kind: int,
    brain: bool,
    group: int,
    widths: Array,
    starts: Array,
    out: Array,
    scales: Array,
    biases: Array,
) -> int:
    """Quantize `raw` [n] for every bit width of `widths`; return the first group that is no number, or -1.

    Codes go to `out` uint8 from `starts` on, scales and biases to float32 [widths, n / group]. `brain` says that
    the weights are rounded to bfloat16 first.
    """
    floats, codes = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint8)
    lows, highs = np.empty(BLOCK // 16, np.int32), np.empty(BLOCK // 16, np.int32)
    divisors = np.empty(BLOCK // 16, np.float32)
    step = BLOCK // group * group
    # Two axes, both counted from 0: numba then leaves out the look for negative places, and LLVM vectorizes.
    rows, code_rows = floats[:step].reshape(-1, group), codes[:step].reshape(-1, group)
    bits, bit_rows = floats.view(np.uint32), floats.view(np.int32)[:step].reshape(-1, group)
    for first in range(0, raw.size, step):
        count = min(step, raw.size - first)
        groups, base = count // group, first // group
        widen(raw[first : first + count], kind, floats, bits)
        bad = _extremes(bit_rows, groups, kind, lows, highs)
        if bad >= 0:
            return base + bad
        if brain and kind != BRAIN:
            # Rounding keeps the order, so the extremes can be rounded by themselves.
            round_to_brain(bits, count)
            round_to_brain(lows.view(np.uint32), groups)
            round_to_brain(highs.view(np.uint32), groups)
        for number in range(widths.size):
            width = widths[number]
            most = np.float32((1 << width) - 1)
            part = slice(base, base + groups)
            own_scales, own_biases = scales[number, part], biases[number, part]
            _affine_scales(lows.view(np.float32), highs.view(np.float32), most, own_scales, own_biases, divisors)
            _affine_codes(rows, most, own_biases, divisors, code_rows)
            start = starts[number] + first * width // 8
            pack(codes, count, width, out[start : start + count * width // 8])
    return -1


def quantize_affine(
    raw: Array, dtype: str, *, group_size: int, widths: Sequence[int], scale_dtype: str
) -> list[dict[str, Array]]:
    """Return what `affine.quantize` returns; raises NotFinite for NaN or infinity."""
    if scale_dtype == "F16":
        raw, dtype = convert_dtype(raw, dtype, scale_dtype), scale_dtype
    flat = np.ascontiguousarray(raw).reshape(-1)
    sizes = [flat.size * bits // 8 for bits in widths]
    starts = np.cumsum([0, *(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes)], dtype=np.int64)
    out = np.empty(starts[-1], np.uint8)
    scales = np.empty((len(widths), flat.size // group_size), np.float32)
    biases = np.empty_like(scales)
    brain = scale_dtype == "BF16"
    each = np.array(widths, np.int64)
    bad = affine(flat, KINDS[dtype], brain, group_size, each, starts, out, scales, biases)
    if bad >= 0:
        raise NotFinite
    *lead, width = raw.shape
    groups = (*lead, width // group_size)
    return [
        {
            "weight": out[start : start + size].view(np.uint32).reshape(*lead, width * bits // 32),
            "scales": from_float32(scales[number], scale_dtype).reshape(groups),
            "biases": from_float32(biases[number], scale_dtype).reshape(groups),
        }
        for number, (bits, start, size) in enumerate(zip(widths, starts, sizes, strict=False))
    ]
