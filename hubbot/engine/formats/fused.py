"""The definitions of this folder compiled by numba: extremes, scales, codes and packing of a group in one pass.

Importing it needs numba and a place for its cache. Every float operation is one of float32, in the order of the
definition: no fastmath, no contraction. Kernels release the interpreter's lock. They choose nothing.
"""

from collections.abc import Sequence
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import NotFinite, convert_dtype, from_float32
from hubbot.engine.formats import microscaling as definition

Array = npt.NDArray[Any]
# Elements at a time: their floats and codes stay in the first cache.
BLOCK: Final = 2048
HALF: Final = 1  # float16, whose exponent is biased otherwise
BRAIN: Final = 2  # bfloat16, the upper half of a float32
SINGLE: Final = 3
MXFP4: Final = 1
MXFP8: Final = 2
NVFP4: Final = 3

_KINDS: Final = {"F16": HALF, "BF16": BRAIN, "F32": SINGLE}
_MODES: Final = {"mxfp4": MXFP4, "mxfp8": MXFP8, "nvfp4": NVFP4}
# Of the codes of every width in one buffer.
_ALIGNMENT: Final = 64
_F1: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_LEAST_HALF: Final = np.float32(2.0**-14)
_TWO_14: Final = np.float32(2.0**14)
_TWO_14_BITS: Final = np.uint32(0x46800000)
_SMALLEST_SCALE: Final = np.float32(1e-7)
_TWO_112: Final = np.float32(2.0**112)
_BEYOND_HALF: Final = np.float32(65536)
_INFINITY: Final = np.int32(0x7F800000)
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _widen(part: Array, kind: int, floats: Array, bits: Array) -> None:
    """Fill `floats`, whose bits `bits` uint32 are, with the values of `part`."""
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
    else:
        for at in range(count):
            bits[at] = np.uint32(part[at])


@_compiled
def _round_to_brain(bits: Array, count: int) -> None:
    for at in range(count):
        odd = (bits[at] >> np.uint32(16)) & np.uint32(1)
        bits[at] = (bits[at] + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)


@_compiled
def _ordered(bits: Any) -> Any:
    """Return a float's bits as an integer in the floats' order, and such an integer as bits."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@_compiled
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
        is_number = highs[index] < _INFINITY and lows[index] > _ordered(np.int32(-0x00800000))
        lows[index], highs[index] = _ordered(lows[index]), _ordered(highs[index])
        if kind == HALF:
            is_number = is_number and high_floats[index] < _BEYOND_HALF and low_floats[index] > -_BEYOND_HALF
        if not is_number:
            return index
    return -1


@_compiled
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
        scale = edge / (whole if moved else _F1) if moved else scale
        scales[index] = scale
        biases[index] = edge if moved else np.float32(0)
        divisors[index] = _F1 if scale == np.float32(0) else scale


@_compiled
def _affine_codes(rows: Array, most: float, biases: Array, divisors: Array, codes: Array) -> None:
    """Set codes uint8 [>= groups, group] of floats [>= groups, group]."""
    for index in range(biases.size):
        bias, divisor = biases[index], divisors[index]
        for at in range(rows.shape[1]):
            code = np.rint((rows[index, at] - bias) / divisor)
            codes[index, at] = np.uint8(np.int32(min(most, code)))


@_compiled
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
        _widen(raw[first : first + count], kind, floats, bits)
        bad = _extremes(bit_rows, groups, kind, lows, highs)
        if bad >= 0:
            return base + bad
        if brain and kind != BRAIN:
            # Rounding keeps the order, so the extremes can be rounded by themselves.
            _round_to_brain(bits, count)
            _round_to_brain(lows.view(np.uint32), groups)
            _round_to_brain(highs.view(np.uint32), groups)
        for number in range(widths.size):
            width = widths[number]
            most = np.float32((1 << width) - 1)
            part = slice(base, base + groups)
            own_scales, own_biases = scales[number, part], biases[number, part]
            _affine_scales(lows.view(np.float32), highs.view(np.float32), most, own_scales, own_biases, divisors)
            _affine_codes(rows, most, own_biases, divisors, code_rows)
            start = starts[number] + first * width // 8
            _pack(codes, count, width, out[start : start + count * width // 8])
    return -1


@_compiled
def _pack(codes: Array, count: int, width: int, out: Array) -> None:
    """Write `count` codes as a stream of `width` bits each, lowest bit first, to `out`."""
    if width == 8:
        for at in range(count):
            out[at] = codes[at]
    elif width == 4:
        pairs = codes.view(np.uint16)
        for at in range(count // 2):
            out[at] = np.uint8(pairs[at] | (pairs[at] >> np.uint16(4)))
    elif width == 2:
        fours = codes.view(np.uint32)
        for at in range(count // 4):
            four = fours[at]
            out[at] = np.uint8(four | (four >> np.uint32(6)) | (four >> np.uint32(12)) | (four >> np.uint32(18)))
    elif width == 6:
        _pack_sixes(codes.view(np.uint32), count // 4, out)
    else:
        _pack_odd(codes.view(np.uint64), count // 8, width, out)


@_compiled
def _pack_sixes(fours: Array, count: int, out: Array) -> None:
    for at in range(count):
        four, place = fours[at], 3 * at
        first = four | ((four >> np.uint32(2)) & np.uint32(0xC0))
        second = ((four >> np.uint32(10)) & np.uint32(0xF)) | ((four >> np.uint32(12)) & np.uint32(0xF0))
        third = ((four >> np.uint32(20)) & np.uint32(3)) | ((four >> np.uint32(22)) & np.uint32(0xFC))
        out[place], out[place + 1], out[place + 2] = np.uint8(first), np.uint8(second), np.uint8(third)


@_compiled
def _pack_odd(eights: Array, count: int, width: int, out: Array) -> None:
    for at in range(count):
        word, eight = np.uint64(0), eights[at]
        for place in range(8):
            code = (eight >> np.uint64(place * 8)) & np.uint64(0xFF)
            word |= code << np.uint64(place * width)
        for place in range(width):
            out[at * width + place] = np.uint8((word >> np.uint64(place * 8)) & np.uint64(0xFF))


@_compiled
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


@_compiled
def _e4m3(floats: Array, bits: Array, count: int, low: Array, out: Array) -> None:
    """Write the e4m3 codes nearest to `floats`, ties to even, to `out`; `low` is room for as many floats."""
    low_bits = low.view(np.uint32)
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


@_compiled
def _round(floats: Array, bits: Array, count: int, kind: int) -> None:
    """Round `floats` to those that the weights' dtype has."""
    if kind == BRAIN:
        _round_to_brain(bits, count)
    elif kind == HALF:
        for at in range(count):
            size = abs(floats[at])
            # Below 2^-14 float16 has multiples of 2^-24, as float32 has from 0.5 on.
            small = (size + _HALF) - _HALF
            small = -small if floats[at] < np.float32(0) else small
            odd = np.uint32(np.uint32(bits[at] >> np.uint32(13)) & np.uint32(1))
            bits[at] = np.uint32(np.uint32(bits[at] + np.uint32(0xFFF)) + odd) & np.uint32(0xFFFFE000)
            floats[at] = small if size < _LEAST_HALF else floats[at]


@_compiled
def _largest(rows: Array, groups: int, kind: int, tops: Array) -> int:
    """Set the bits of the largest magnitude of every group; return the first that is no number, or -1."""
    floats = tops.view(np.float32)
    for index in range(groups):
        top = np.uint32(0)
        for at in range(rows.shape[1]):
            size = np.uint32(rows[index, at] & _MAGNITUDE)
            top = max(top, size)
        tops[index] = top
    for index in range(groups):
        if tops[index] >= np.uint32(_INFINITY) or (kind == HALF and floats[index] >= _BEYOND_HALF):
            return index
    return -1


@_compiled
def _powers(tops: Array, kind: int, largest: float, scales: Array, factors: Array) -> None:
    """Set e8m0 codes from the groups' largest magnitudes, and the powers of two to multiply weights by."""
    bits = tops.view(np.uint32)
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


@_compiled
def _divided(
    rows: Array, tops: Array, kind: int, values: Array, spare: Array, scales: Array, factors: Array
) -> None:
    """Set e4m3 codes from the groups' largest magnitudes and factors, and divide the weights by their values."""
    count = scales.size
    bits = tops.view(np.uint32)
    for index in range(count):
        tops[index] = tops[index] / np.float32(6)
    _round(tops, bits, count, kind)
    for index in range(count):
        tops[index] = tops[index] * factors[index]
    _e4m3(tops, bits, count, spare, scales)
    for index in range(count):
        code = scales[index]
        divisor = values[code] if code else _F1
        factors[index] = factors[index] if code else np.float32(0)
        for at in range(rows.shape[1]):
            rows[index, at] = rows[index, at] / divisor


@_compiled
def microscaling(
    raw: Array, kind: int, mode: int, factors: Array, per_factor: int, values: Array, out: Array, scales: Array
) -> int:
    """Quantize `raw` [n] in one of the modes; return the first group that is no number, or -1.

    Codes go to `out` uint8, scales to uint8 [n / group]. The quotients of groups number k * per_factor and
    following are multiplied by factors[k], float32; `values` float32 [256] are those of e4m3 codes.
    """
    group = 16 if mode == NVFP4 else 32
    floats, codes, spare = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.float32)
    tops, factor_of = np.empty(BLOCK // 16, np.float32), np.empty(BLOCK // 16, np.float32)
    bits, rows = floats.view(np.uint32), floats.reshape(-1, group)
    for first in range(0, raw.size, BLOCK):
        count = min(BLOCK, raw.size - first)
        groups, base = count // group, first // group
        _widen(raw[first : first + count], kind, floats, bits)
        bad = _largest(bits.reshape(-1, group), groups, kind, tops.view(np.uint32))
        if bad >= 0:
            return base + bad
        own_scales = scales[base : base + groups]
        if mode == NVFP4:
            for index in range(groups):
                factor_of[index] = factors[(base + index) // per_factor]
            _divided(rows, tops, kind, values, spare, own_scales, factor_of)
            _round(floats, bits, count, kind)
        else:
            _powers(tops, kind, np.float32(448 if mode == MXFP8 else 6), own_scales, factor_of)
        for index in range(groups):
            factor = factor_of[index]
            for at in range(group):
                rows[index, at] = rows[index, at] * factor
        if mode == MXFP8:
            _e4m3(floats, bits, count, spare, out[first : first + count])
        else:
            _e2m1(floats, count, codes)
            _pack(codes, count, 4, out[first // 2 : (first + count) // 2])
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
    bad = affine(flat, _KINDS[dtype], brain, group_size, each, starts, out, scales, biases)
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


def quantize_microscaling(
    raw: Array, dtype: str, *, mode: str, largest: npt.NDArray[np.float32] | None = None
) -> dict[str, Array]:
    """Return what `microscaling.quantize` returns; raises NotFinite for NaN or infinity."""
    bits, size = definition.SHAPES[mode]
    flat = np.ascontiguousarray(raw).reshape(-1)
    out = np.empty(flat.size * bits // 8, np.uint8)
    scales = np.empty(flat.size // size, np.uint8)
    factors = definition.tensor_factors(largest)
    each = max(1, scales.size // max(1, factors.size))
    bad = microscaling(flat, _KINDS[dtype], _MODES[mode], factors, each, definition.E4M3_VALUES, out, scales)
    if bad >= 0:
        raise NotFinite
    *lead, width = raw.shape
    return {
        "weight": out.view(np.uint32).reshape(*lead, width * bits // 32),
        "scales": scales.reshape(*lead, width // size),
    }
