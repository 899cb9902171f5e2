"""The referee's own compiled look at groups: which have the scales and codes of mlx's usual arithmetic in float32.

What fits here is right; what does not is judged anew in numpy (affine_codes.py, fp4_fp8.py). Sources come as they
are stored: bits of bfloat16 (uint16) or of float32 (uint32). No fastmath. Importing it needs numba.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# Elements at a time: they and their codes stay in a core's first cache.
_BATCH: Final = 2048
_SMALLEST_SCALE: Final = np.float32(1e-7)
_LIMIT: Final = np.float32(0.5) + np.float32(1e-3)
_ONE: Final = np.float32(1)
_MAGNITUDE: Final = np.int32(0x7FFFFFFF)
_INFINITY: Final = np.int32(0x7F800000)
_TWO_14: Final = np.float32(2.0**14)
_TWO_14_BITS: Final = np.int32(0x46800000)
_E4M3_TOP: Final = np.int32(543 << 21)
_QUARTER, _THREE_QUARTERS, _ONE_BITS = np.int32(0x3E800000), np.int32(0x3F400000), np.int32(0x3F800000)
# Whole steps of float16 below its smallest normal number: adding this much leaves multiples of 2^-24.
_F16_STEP: Final = np.float32(0.5)
_F16_NORMAL: Final = np.float32(2.0**-14)
_F16_OVER: Final = np.float32(65520)
# Half an octave: below this fraction a power of two may be rounded down.
_HALF_OCTAVE: Final = np.int32(0x3504F3)
# As affine_groups takes the dtype of scales and biases.
F32_SCALES, BF16_SCALES, F16_SCALES = 0, 1, 2
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _spread(stream: Array, bits: int, codes: Array) -> None:  # noqa: C901 - a branch for every width
    """Fill `codes` uint8 [a multiple of 8] from bytes that hold codes of `bits` bits, the lowest first."""
    if bits == 8:
        for at in range(codes.size):
            codes[at] = stream[at]
    elif bits == 4:
        pairs: Array = codes.view(np.uint16)
        for at in range(pairs.size):
            byte = np.uint16(stream[at])
            pairs[at] = np.uint16(byte | np.uint16(byte << np.uint16(4))) & np.uint16(0x0F0F)
    elif bits == 2:
        fours: Array = codes.view(np.uint32)
        for at in range(fours.size):
            four = np.uint32(stream[at])
            low = np.uint32(four | np.uint32(four << np.uint32(6)))
            fours[at] = np.uint32(low | np.uint32(low << np.uint32(12))) & np.uint32(0x03030303)
    elif bits == 6:
        sixes: Array = codes.view(np.uint32)
        for at in range(sixes.size):
            word = (
                np.uint32(stream[3 * at])
                | np.uint32(np.uint32(stream[3 * at + 1]) << np.uint32(8))
                | np.uint32(np.uint32(stream[3 * at + 2]) << np.uint32(16))
            )
            sixes[at] = (
                np.uint32(word & np.uint32(0x3F))
                | np.uint32(np.uint32(word << np.uint32(2)) & np.uint32(0x3F00))
                | np.uint32(np.uint32(word << np.uint32(4)) & np.uint32(0x3F0000))
                | np.uint32(np.uint32(word << np.uint32(6)) & np.uint32(0x3F000000))
            )
    else:
        mask = np.uint64((1 << bits) - 1)
        eights: Array = codes.view(np.uint64)
        for at in range(eights.size):
            run = np.uint64(0)
            for place in range(bits):
                run |= np.uint64(stream[at * bits + place]) << np.uint64(8 * place)
            spread = np.uint64(0)
            for place in range(8):
                spread |= ((run >> np.uint64(place * bits)) & mask) << np.uint64(8 * place)
            eights[at] = spread


@_compiled
def _key(bits: np.int32) -> np.int32:
    """Return an integer that is ordered as the float with these bits is."""
    flipped = np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF))
    return np.int32(bits ^ flipped)


@_compiled
def _as_bf16(words: Array, count: int) -> None:
    """Round `count` float32 bits in place to nearest even in bfloat16."""
    for at in range(count):
        odd = np.uint32(np.uint32(words[at] >> np.uint32(16)) & np.uint32(1))
        raised = np.uint32(np.uint32(words[at] + np.uint32(0x7FFF)) + odd)
        words[at] = np.uint32(raised & np.uint32(0xFFFF0000))


@_compiled
def _as_f16(numbers: Array, words: Array, count: int) -> None:
    """Round `count` float32 numbers, whose bits are `words`, in place to nearest even in float16."""
    for at in range(count):
        number = numbers[at]
        size = abs(number)
        if size >= _F16_OVER:
            words[at] = np.uint32(np.uint32(words[at] & np.uint32(0x80000000)) | np.uint32(0x7F800000))
        elif size < _F16_NORMAL:
            step = np.float32(np.float32(size + _F16_STEP) - _F16_STEP)
            numbers[at] = -step if number < np.float32(0) else step
        else:
            odd = np.uint32(np.uint32(words[at] >> np.uint32(13)) & np.uint32(1))
            raised = np.uint32(np.uint32(words[at] + np.uint32(0xFFF)) + odd)
            words[at] = np.uint32(raised & np.uint32(0xFFFFE000))


def _affine(size: int) -> Callable[..., None]:  # noqa: C901 - one fused loop
    together = _BATCH // size

    @_compiled
    def affine_groups(  # noqa: C901
        source: Array, shift: int, is_rounded: bool, stream: Array, bits: int, scales: Array, biases: Array,
        kind: int, fits: Array,
    ) -> None:  # fmt: skip
        """Set `fits` bool [n] to whether a group has the usual scale, bias and nearest codes.

        `source` holds bits [n * group]: float32 after a shift by `shift`; `is_rounded` rounds them to bfloat16.
        `stream` uint8 holds codes of `bits` bits; `scales` and `biases` float32 [n] are stored in dtype `kind`.
        A group without numbers does not fit.
        """
        up = np.uint32(shift)
        steps = np.float32((1 << bits) - 1)
        own, codes = np.empty(_BATCH, np.float32), np.empty(_BATCH, np.uint8)
        words, keys = own.view(np.uint32), own.view(np.int32).reshape(together, size)
        rows, held = own.reshape(together, size), codes.reshape(together, size)
        low, high = np.empty(together, np.float32), np.empty(together, np.float32)
        low_keys, high_keys = low.view(np.int32), high.view(np.int32)
        low_words, high_words = low.view(np.uint32), high.view(np.uint32)
        scale, bias, inverse = (
            np.empty(together, np.float32),
            np.empty(together, np.float32),
            np.empty(together, np.float32),
        )
        scale_words, bias_words = scale.view(np.uint32), bias.view(np.uint32)
        for first in range(0, fits.size, together):
            count = min(together, fits.size - first)
            base = first * size
            _spread(stream[base * bits // 8 : (base + count * size) * bits // 8], bits, codes[: count * size])
            given, good = source[base : base + count * size], fits[first : first + count]
            for at in range(given.size):
                words[at] = np.uint32(np.uint32(given[at]) << up)
            for index in range(count):
                least, most = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
                for at in range(size):
                    key = _key(keys[index, at])
                    least = min(least, key)
                    most = max(most, key)
                good[index] = most < np.int32(0x7F800000) and least > _key(np.int32(-0x00800000))
                low_keys[index], high_keys[index] = _key(least), _key(most)
            if is_rounded:
                _as_bf16(words, count * size)
                _as_bf16(low_words, count)
                _as_bf16(high_words, count)
            for index in range(count):
                scale[index], bias[index] = _usual(low[index], high[index], steps)
                inverse[index] = _ONE / scale[index]
            for index in range(count):
                offset, factor = bias[index], inverse[index]
                wrong = np.int32(0)
                for at in range(size):
                    position = (rows[index, at] - offset) * factor
                    position = min(steps, position)
                    distance = abs(position - np.float32(held[index, at]))
                    wrong += np.int32(0) if distance <= _LIMIT else np.int32(1)
                good[index] &= wrong == 0
            stored_scales, stored_biases = scales[first : first + count], biases[first : first + count]
            if kind == BF16_SCALES:
                _as_bf16(scale_words, count)
                _as_bf16(bias_words, count)
            elif kind == F16_SCALES:
                _as_f16(scale, scale_words, count)
                _as_f16(bias, bias_words, count)
            for index in range(count):
                good[index] &= stored_scales[index] == scale[index] and stored_biases[index] == bias[index]

    return affine_groups


@_compiled
def _usual(low: np.float32, high: np.float32, steps: np.float32) -> tuple[np.float32, np.float32]:
    below = abs(low) > abs(high)
    scale = (high - low) / steps
    scale = max(_SMALLEST_SCALE, scale)
    scale = scale if below else -scale
    edge = low if below else high
    count = np.rint(edge / scale)
    is_zero = count == np.float32(0)
    return (scale if is_zero else edge / count), (np.float32(0) if is_zero else edge)


def _micro(size: int) -> Callable[..., None]:  # noqa: C901, PLR0915 - one fused loop
    together = _BATCH // size

    @_compiled
    def micro_groups(  # noqa: C901, PLR0912, PLR0915
        source: Array, shift: int, is_rounded: bool, stream: Array, bits: int, scales: Array, inverses: Array,
        factors: Array, has_e4m3: bool, fits: Array,
    ) -> None:  # fmt: skip
        """Set `fits` bool [n] to whether a group has the usual scale and the codes nearest to weight / scale.

        `source`, `shift` and `is_rounded` as for affine groups. `stream` uint8 holds e2m1 codes (4 bits, a tie
        goes to the smaller, no negative zero) or e4m3 codes (8 bits, ties to even). `scales` uint8 [n] are e4m3
        or powers of two, `inverses` float32 [256] their reciprocals; `factors` float32 [n] or [1] multiply them.
        A group whose scale is the largest there is, or zero beside weights that are not, does not fit.
        """
        up = np.uint32(shift)
        largest_code = np.float32(6) if bits == 4 else np.float32(448)
        own, codes = np.empty(_BATCH, np.float32), np.empty(_BATCH, np.uint8)
        words, spare = own.view(np.uint32), np.empty(_BATCH, np.float32)
        rows, held = own.reshape(together, size), codes.reshape(together, size)
        bits_of, small = own.view(np.int32).reshape(together, size), spare.view(np.int32).reshape(together, size)
        wanted, raised = np.empty(together, np.float32), np.empty(together, np.float32)
        wanted_bits, raised_bits = wanted.view(np.int32), raised.view(np.int32)
        nothing, ones = np.empty(together, np.bool_), np.full(together, factors[0], np.float32)
        for first in range(0, fits.size, together):
            count = min(together, fits.size - first)
            base = first * size
            _spread(stream[base * bits // 8 : (base + count * size) * bits // 8], bits, codes[: count * size])
            given, good = source[base : base + count * size], fits[first : first + count]
            for at in range(given.size):
                words[at] = np.uint32(np.uint32(given[at]) << up)
            for index in range(count):
                top = np.int32(0)
                for at in range(size):
                    top = max(top, np.int32(bits_of[index, at] & _MAGNITUDE))
                good[index] = top < _INFINITY
                wanted_bits[index] = top
            if is_rounded:
                _as_bf16(words, count * size)
                _as_bf16(wanted.view(np.uint32), count)
            some = scales[first : first + count]
            factor = factors[first : first + count] if factors.size > 1 else ones
            for index in range(count):
                nothing[index] = wanted_bits[index] == np.int32(0)
                wanted[index] = np.float32(wanted[index] / largest_code)
            if has_e4m3:
                for index in range(count):
                    wanted[index] = np.float32(wanted[index] * factor[index])
                    raised[index] = np.float32(wanted[index] + _TWO_14)
                for index in range(count):
                    usual = _e4m3(wanted_bits[index], np.int32(raised_bits[index] - _TWO_14_BITS))
                    code = np.int32(some[index])
                    right = code == usual and code > np.int32(0)
                    good[index] &= code < np.int32(126) and (nothing[index] or right)
            else:
                for index in range(count):
                    good[index] &= _is_power(wanted_bits[index], np.int32(some[index]), nothing[index])
            for index in range(count):
                multiplier = np.float32(inverses[some[index]] * factor[index])
                for at in range(size):
                    rows[index, at] *= multiplier
            if bits == 4:
                for index in range(count):
                    wrong = np.int32(0)
                    for at in range(size):
                        element = _e2m1(np.int32(bits_of[index, at] & _MAGNITUDE))
                        sign = np.int32(np.int32(bits_of[index, at] >> np.int32(28)) & np.int32(8))
                        element |= sign if element > np.int32(0) else np.int32(0)
                        wrong += np.int32(0) if element == np.int32(held[index, at]) else np.int32(1)
                    good[index] &= wrong == 0
            else:
                for at in range(count * size):
                    # Below 2^-6 codes are multiples of 2^-9: adding 2^14 leaves as many bits.
                    spare[at] = abs(own[at]) + _TWO_14
                for index in range(count):
                    wrong = np.int32(0)
                    for at in range(size):
                        magnitude = np.int32(bits_of[index, at] & _MAGNITUDE)
                        element = _e4m3(magnitude, np.int32(small[index, at] - _TWO_14_BITS))
                        element |= np.int32(np.int32(bits_of[index, at] >> np.int32(24)) & np.int32(0x80))
                        wrong += np.int32(0) if element == np.int32(held[index, at]) else np.int32(1)
                    good[index] &= wrong == 0

    return micro_groups


@_compiled
def _is_power(wanted: np.int32, code: np.int32, is_zero: bool) -> bool:
    """Say whether an e8m0 code is what a scale with these float32 bits becomes, and not the largest."""
    exponent = np.int32(wanted >> np.int32(23))
    fraction = np.int32(wanted & np.int32(0x7FFFFF))
    up = np.int32(exponent + (np.int32(1) if fraction > np.int32(0) else np.int32(0)))
    near = code == up or (code == exponent and fraction <= _HALF_OCTAVE)
    return code < np.int32(254) and (is_zero or (near and exponent > np.int32(0)))


@_compiled
def _e4m3(magnitude: np.int32, small: np.int32) -> np.int32:
    """Return the nearest e4m3 code, ties to even, of float32 bits; `small` is the code if it is below 2^-6."""
    odd = np.int32(np.int32(magnitude >> np.int32(20)) & np.int32(1))
    raised = np.int32(np.int32(magnitude + np.int32(0x7FFFF)) + odd)
    high = np.int32(np.int32(raised - np.int32(120 << 23)) >> np.int32(20))
    code = small if magnitude < np.int32(121 << 23) else high
    return code if magnitude < _E4M3_TOP else np.int32(0x7E)


@_compiled
def _e2m1(magnitude: np.int32) -> np.int32:
    """Return the nearest e2m1 code of float32 bits; a tie goes to the smaller."""
    one = np.int32(1) if magnitude > _QUARTER else np.int32(0)
    two = np.int32(1) if magnitude > _THREE_QUARTERS else np.int32(0)
    raised = np.int32(np.int32(magnitude + np.int32(0x1FFFFF)) >> np.int32(22))
    high = min(np.int32(7), np.int32(raised - np.int32(252)))
    return high if magnitude > _ONE_BITS else np.int32(one + two)


# By group size; other sizes are judged in numpy.
AFFINE: Final = {size: _affine(size) for size in (32, 64, 128)}
MICRO: Final = {size: _micro(size) for size in (16, 32)}


@_compiled
def is_copy(source: Array, stored: Array, exponent: int) -> bool:
    """Say whether two arrays of bits, uint16 or uint32 [n], are the same and hold numbers only.

    `exponent` has the bits that are all set where a float is none.
    """
    ones = np.uint32(exponent)
    differ, odd = np.uint32(0), np.uint32(0)
    for at in range(source.size):
        one = np.uint32(source[at])
        differ |= np.uint32(one ^ np.uint32(stored[at]))
        odd |= np.uint32(1) if np.uint32(one & ones) == ones else np.uint32(0)
    return differ == np.uint32(0) and odd == np.uint32(0)


@_compiled
def decode_affine(stream: Array, bits: int, scales: Array, biases: Array, out: Array) -> None:
    """Set `out` float32 [groups, group] to code * scale + bias; `scales` and `biases` are float32 [groups]."""
    size = out.shape[1]
    together = max(1, _BATCH // size)
    codes = np.empty(together * size, np.uint8)
    rows = codes.reshape(-1, size)
    for first in range(0, out.shape[0], together):
        count = min(together, out.shape[0] - first)
        start = first * size * bits // 8
        _spread(stream[start : start + count * size * bits // 8], bits, codes[: count * size])
        for index in range(count):
            scale, bias, held = scales[first + index], biases[first + index], rows[index]
            for at in range(size):
                out[first + index, at] = np.float32(held[at]) * scale + bias


@_compiled
def decode_micro(stream: Array, bits: int, scales: Array, values: Array, out: Array) -> None:
    """Set `out` float32 [groups, group] to values[code] * scale; codes have 4 or 8 bits."""
    size = out.shape[1]
    codes = np.empty(size, np.uint8)
    step = size * bits // 8
    for index in range(out.shape[0]):
        _spread(stream[index * step : (index + 1) * step], bits, codes)
        for at in range(size):
            out[index, at] = values[codes[at]] * scales[index]
