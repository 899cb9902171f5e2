"""Packed quantized words back to one byte per code, fast enough for every element of a model.

Codes stand least significant bit first, and none crosses a row. `decoding.codes` says the same slowly.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
_BYTE = np.arange(256, dtype=np.uint16)
# What one byte holds: two codes of four bits, or four of two.
_NIBBLES = np.ascontiguousarray(np.stack([_BYTE & 15, _BYTE >> 4], axis=-1).astype(np.uint8)).view(np.uint16)[:, 0]
_PAIRS = np.stack([(_BYTE >> shift) & 3 for shift in (0, 2, 4, 6)], axis=-1).astype(np.uint8).view(np.uint32)[:, 0]
# bits -> (codes, bytes) of the smallest run that begins and ends with a whole byte.
_RUNS = {3: (8, 3), 5: (8, 5), 6: (4, 3)}


def unpack(packed: npt.NDArray[Any], bits: int) -> Codes:
    """Return codes [..., in] as uint8 from uint32 words [..., in * bits / 32]; bits is 2, 3, 4, 5, 6 or 8."""
    stream = np.ascontiguousarray(packed).view(np.uint8)
    if bits == 8:
        return stream
    if bits in {2, 4}:
        found: Codes = np.take(_NIBBLES if bits == 4 else _PAIRS, stream, mode="clip").view(np.uint8)
        return found
    return _runs(stream, bits)


def _runs(stream: Codes, bits: int) -> Codes:
    codes, length = _RUNS[bits]
    runs = stream.reshape(-1, length)
    out = np.empty((len(runs), codes), np.uint8)
    for number in range(codes):
        byte, shift = divmod(number * bits, 8)
        value = runs[:, byte] >> np.uint8(shift)
        if shift + bits > 8:
            value |= runs[:, byte + 1] << np.uint8(8 - shift)
        np.bitwise_and(value, np.uint8((1 << bits) - 1), out=out[:, number])
    return out.reshape(*stream.shape[:-1], -1)
