"""The referee's own compiled look at groups: which have the codes of mlx's usual arithmetic in float32.

What fits here is right; what does not is judged anew in numpy (affine_codes.py, fp4_fp8.py). Importing
it needs numba.
"""

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# Codes spread to bytes at a time.
_CODES: Final = 4096
_SMALLEST_SCALE: Final = np.float32(1e-7)
_LIMIT: Final = np.float32(0.5) + np.float32(1e-3)
_ONE: Final = np.float32(1)
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_TWO_14: Final = np.float32(2.0**14)
_TWO_14_BITS: Final = np.uint32(0x46800000)
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _key(bits: np.int32) -> np.int32:
    """Return an integer that is ordered as the float with these bits is."""
    flipped = np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF))
    return np.int32(bits ^ flipped)


@_compiled
def _spread(stream: Array, bits: int, codes: Array) -> None:
    """Fill `codes` from bytes that hold codes of 2, 4 or 8 bits, the lowest first."""
    if bits == 8:
        for at in range(codes.size):
            codes[at] = stream[at]
    elif bits == 4:
        pairs: Array = codes.view(np.uint16)
        for at in range(pairs.size):
            byte = np.uint16(stream[at])
            pairs[at] = np.uint16(byte | np.uint16(byte << np.uint16(4))) & np.uint16(0x0F0F)
    else:
        fours: Array = codes.view(np.uint32)
        for at in range(fours.size):
            four = np.uint32(stream[at])
            low = np.uint32(four | np.uint32(four << np.uint32(6)))
            fours[at] = np.uint32(low | np.uint32(low << np.uint32(12))) & np.uint32(0x03030303)


@_compiled
def affine_fits(
    weights: Array, stream: Array, bits: int, steps: np.float32, scales: Array, biases: Array, fits: Array
) -> None:
    """Say for every group of `weights`, float32 [n, group], whether the codes in `stream` are the nearest.

    `stream` uint8 holds codes of 2, 4 or 8 bits. Sets the scale and bias that the weights ask for, float32 [n] and
    not rounded, and `fits` bool [n]. `steps` is the largest code. A group without numbers does not fit.
    """
    size = weights.shape[1]
    keys = weights.view(np.int32)
    together = max(1, _CODES // size)
    codes = np.empty(together * size, np.uint8)
    rows = codes.reshape(-1, size)
    ends = np.empty(2, np.int32)
    end_floats = ends.view(np.float32)
    for first in range(0, weights.shape[0], together):
        count = min(together, weights.shape[0] - first)
        start = first * size * bits // 8
        _spread(stream[start : start + count * size * bits // 8], bits, codes[: count * size])
        own, own_keys = weights[first : first + count], keys[first : first + count]
        for index in range(count):
            low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
            for at in range(size):
                key = _key(own_keys[index, at])
                low = min(low, key)
                high = max(high, key)
            finite = high < np.int32(0x7F800000) and low > _key(np.int32(-0x00800000))
            ends[0], ends[1] = _key(low), _key(high)
            scale, bias = _usual(end_floats[0], end_floats[1], steps)
            scales[first + index], biases[first + index] = scale, bias
            inverse = _ONE / scale
            wrong = np.int32(0)
            for at in range(size):
                position = (own[index, at] - bias) * inverse
                position = min(steps, position)
                distance = abs(position - np.float32(rows[index, at]))
                wrong += np.int32(0) if distance <= _LIMIT else np.int32(1)
            fits[first + index] = finite and wrong == 0


@_compiled
def _usual(low: np.float32, high: np.float32, steps: np.float32) -> tuple[np.float32, np.float32]:
    below = abs(low) > abs(high)
    scale = (high - low) / steps
    scale = max(_SMALLEST_SCALE, scale)
    scale = scale if below else -scale
    edge = low if below else high
    count = np.rint(edge / scale)
    if count == np.float32(0):
        return scale, np.float32(0)
    return edge / count, edge


@_compiled
def micro_fits(weights: Array, stream: Array, bits: int, factors: Array, largest: Array, fits: Array) -> None:
    """Say for every group of `weights`, float32 [n, group], whether its codes are nearest to weight times factor.

    `stream` uint8 holds e2m1 codes (4 bits, a tie goes to the smaller, no negative zero) or e4m3 codes (8 bits,
    ties to even). `factors` are float32 [n]. Sets `largest` float32 [n], the groups' largest magnitudes, and
    `fits` bool [n].
    """
    size = weights.shape[1]
    bits_of = weights.view(np.uint32)
    top_bits = largest.view(np.uint32)
    quotients, spare = np.empty(size, np.float32), np.empty(size, np.float32)
    codes = np.empty(size, np.uint8)
    for index in range(weights.shape[0]):
        top = np.uint32(0)
        for at in range(size):
            top = max(top, np.uint32(bits_of[index, at] & _MAGNITUDE))
        top_bits[index] = top
        factor = factors[index]
        for at in range(size):
            quotients[at] = weights[index, at] * factor
        if bits == 4:
            _spread(stream[index * size // 2 : (index + 1) * size // 2], 4, codes)
            fits[index] = _wrong_e2m1(quotients, codes) == 0
        else:
            fits[index] = _wrong_e4m3(quotients, spare, stream[index * size : (index + 1) * size]) == 0


@_compiled
def _wrong_e2m1(quotients: Array, codes: Array) -> int:
    bits = quotients.view(np.uint32)
    wrong = np.int32(0)
    for at in range(quotients.size):
        size = abs(quotients[at])
        code = (
            np.int32(size > np.float32(0.25))
            + np.int32(size > np.float32(0.75))
            + np.int32(size > np.float32(1.25))
            + np.int32(size > np.float32(1.75))
            + np.int32(size > np.float32(2.5))
            + np.int32(size > np.float32(3.5))
            + np.int32(size > np.float32(5))
        )
        sign = np.int32(np.uint32(bits[at] >> np.uint32(28)) & np.uint32(8))
        sign = sign if code > 0 else np.int32(0)
        wrong += np.int32(0) if np.int32(code | sign) == np.int32(codes[at]) else np.int32(1)
    return wrong


@_compiled
def _wrong_e4m3(quotients: Array, spare: Array, codes: Array) -> int:
    bits, spare_bits = quotients.view(np.uint32), spare.view(np.uint32)
    for at in range(quotients.size):
        # Below 2^-6 codes are multiples of 2^-9: adding 2^14 leaves as many bits.
        spare[at] = abs(quotients[at]) + _TWO_14
    wrong = np.int32(0)
    for at in range(quotients.size):
        magnitude = np.uint32(bits[at] & _MAGNITUDE)
        odd = np.uint32(np.uint32(magnitude >> np.uint32(20)) & np.uint32(1))
        raised = np.uint32(np.uint32(magnitude + np.uint32(0x7FFFF)) + odd)
        high = np.uint32(np.uint32(raised - np.uint32(120 << 23)) >> np.uint32(20))
        small = np.uint32(spare_bits[at] - _TWO_14_BITS)
        code = small if magnitude < np.uint32(121 << 23) else high
        code = code if magnitude < np.uint32(543 << 21) else np.uint32(0x7E)
        code |= np.uint32(np.uint32(bits[at] >> np.uint32(24)) & np.uint32(0x80))
        wrong += np.int32(0) if code == np.uint32(codes[at]) else np.int32(1)
    return wrong
