"""mxfp4, mxfp8 and nvfp4 compiled by numba: scales, elements and packing of a group in one pass.

It computes what microscaling.py defines and refuses NaN and infinity.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import NotFinite
from hubbot.engine.formats import microscaling as definition
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

MXFP4: Final = 1
MXFP8: Final = 2
NVFP4: Final = 3
_MODES: Final = {"mxfp4": MXFP4, "mxfp8": MXFP8, "nvfp4": NVFP4}
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
        if tops[index] >= np.uint32(INFINITY) or (kind == HALF and floats[index] >= BEYOND_HALF):
            return index
    return -1


@compiled
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


@compiled
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
        divisor = values[code] if code else ONE
        factors[index] = factors[index] if code else np.float32(0)
        for at in range(rows.shape[1]):
            rows[index, at] = rows[index, at] / divisor


@compiled
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
        widen(raw[first : first + count], kind, floats, bits)
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
            pack(codes, count, 4, out[first // 2 : (first + count) // 2])
    return -1


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
    bad = microscaling(flat, KINDS[dtype], _MODES[mode], factors, each, definition.E4M3_VALUES, out, scales)
    if bad >= 0:
        raise NotFinite
    *lead, width = raw.shape
    return {
        "weight": out.view(np.uint32).reshape(*lead, width * bits // 32),
        "scales": scales.reshape(*lead, width // size),
    }
