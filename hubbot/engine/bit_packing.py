"""Integer codes unpacked from int32 words or signed bytes into one unsigned byte each.

Sources: vllm-project/compressed-tensors pack_quantized/helpers (lowest bits first, signed codes with half of
their range added); AutoGPTQ (the same along the rows); AutoAWQ utils/packing_utils (outputs 0 2 4 6 1 3 5 7).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
Raw = npt.NDArray[Any]
_BYTE = np.arange(256, dtype=np.uint16)
# bits -> what a byte holds, its codes side by side in one word.
_OF_BYTE: Final[Mapping[int, npt.NDArray[Any]]] = {
    4: np.stack([_BYTE & 15, _BYTE >> 4], axis=-1).astype(np.uint8).reshape(-1).view(np.uint16),
    2: np.stack([(_BYTE >> at) & 3 for at in (0, 2, 4, 6)], axis=-1).astype(np.uint8).reshape(-1).view(np.uint32),
}
# The place in a word's eight codes from which each of eight neighbouring outputs is taken.
AWQ_PLACES: Final = (0, 4, 1, 5, 2, 6, 3, 7)


def from_signed_bytes(raw: Raw) -> Codes:
    """Return codes uint8 [...] of signed bytes int8 [...]: each with 128 added."""
    return raw.view(np.uint8) ^ np.uint8(0x80)


def along_columns(raw: Raw, bits: int) -> Codes:
    """Return codes uint8 [..., columns * 32 / bits] of 32-bit words [..., columns], lowest bits first.

    `bits` is 2, 4 or 8.
    """
    stream = np.ascontiguousarray(raw).view(np.uint8)
    if bits == 8:
        return stream
    codes: Codes = np.take(_OF_BYTE[bits], stream, mode="clip").view(np.uint8)
    return codes


def along_rows(raw: Raw, bits: int) -> Codes:
    """Return codes uint8 [rows * 32 / bits, ...] of 32-bit words [rows, ...], lowest bits first."""
    words = raw.view(np.uint32)
    made = np.empty((len(words), 32 // bits, *words.shape[1:]), np.uint8)
    mask = np.uint32((1 << bits) - 1)
    for place in range(32 // bits):
        np.bitwise_and(words >> np.uint32(place * bits), mask, out=made[:, place], casting="unsafe")
    return made.reshape(-1, *words.shape[1:])


def in_awq_order(raw: Raw) -> Codes:
    """Return 4-bit codes uint8 [..., columns * 8] of AutoAWQ's 32-bit words [..., columns]."""
    codes = along_columns(raw, 4).reshape(*raw.shape, 8)
    return np.ascontiguousarray(codes[..., AWQ_PLACES]).reshape(*raw.shape[:-1], -1)
