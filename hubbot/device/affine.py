"""Affine quantization on a CPU in numpy: the bits of mx.quantize, several widths from one look at the weights.

Per group: scale = range / (2^bits - 1), moved so that the edge of larger magnitude is a whole number of steps;
codes = round((w - edge) / scale), packed least significant bit first (mlx 0.32, mlx/backend/cpu/quantized).
numpy releases the interpreter's lock in every loop here, so threads run side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.device.floats import narrow, widen_into

Floats = npt.NDArray[np.float32]
SMALLEST_SCALE: Final = np.float32(1e-7)
# Elements at a time: the float32 temporaries stay in a core's own cache.
BLOCK: Final = 1 << 17
# bits -> the word that holds whole bytes of codes, and how many of its bytes they fill.
_WORDS: Final[Mapping[int, tuple[Any, int]]] = {
    2: (np.uint32, 1),
    3: (np.uint64, 3),
    4: (np.uint16, 1),
    5: (np.uint64, 5),
    6: (np.uint32, 3),
}


class Affine:
    """The stored parts of one width under construction."""

    def __init__(self, shape: tuple[int, ...], *, bits: int, group_size: int) -> None:
        *lead, width = shape
        self.bits = bits
        self._shape = (*lead, width * bits // 32)
        self._groups = (*lead, width // group_size)
        elements = int(np.prod(shape, dtype=np.int64))
        self._codes = np.empty(elements * bits // 8, np.uint8)
        self._scales = np.empty(elements // group_size, np.float32)
        self._biases = np.empty(elements // group_size, np.float32)

    def fill(self, first: int, groups: Floats, edges: tuple[Floats, Floats], work: Floats) -> None:
        """Quantize `groups` [n, group_size] as groups `first` and following; `edges` are (min, max) of each."""
        scales, biases = _scales(*edges, steps=np.float32(2**self.bits - 1))
        stop = first + len(groups)
        self._scales[first:stop], self._biases[first:stop] = scales, biases
        np.subtract(groups, biases[:, None], out=work)
        np.divide(work, scales[:, None], out=work)
        np.rint(work, out=work)
        # (w - bias) / scale is never negative: bias is the edge and scale points to the other one.
        np.minimum(work, np.float32(2**self.bits - 1), out=work)
        per_group = groups.shape[1] * self.bits // 8
        self._codes[first * per_group : stop * per_group] = pack(work.astype(np.uint8).reshape(-1), self.bits)

    def parts(self, dtype: str) -> dict[str, npt.NDArray[Any]]:
        """Return weight (uint32) and scales and biases as raw bits of `dtype`."""
        return {
            "weight": self._codes.view(np.uint32).reshape(self._shape),
            "scales": narrow(self._scales, dtype).reshape(self._groups),
            "biases": narrow(self._biases, dtype).reshape(self._groups),
        }


def quantize(
    raw: npt.NDArray[Any], dtype: str, *, group_size: int, widths: Sequence[int], scale_dtype: str
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return the parts for every width of `widths` of finite weights, raw bits [..., in] of `dtype`.

    The weights are rounded to `scale_dtype` first, as mlx_lm.convert does.
    """
    made = [Affine(raw.shape, bits=bits, group_size=group_size) for bits in widths]
    flat = np.ascontiguousarray(raw).reshape(-1)
    step = BLOCK // group_size
    groups = np.empty((step, group_size), np.float32)
    work = np.empty_like(groups)
    for first in range(0, flat.size // group_size, step):
        part = flat[first * group_size : (first + step) * group_size]
        block = groups[: part.size // group_size]
        widen_into(block.reshape(-1), part, dtype, rounded_to=scale_dtype)
        edges = (block.min(axis=1), block.max(axis=1))
        for item in made:
            item.fill(first, block, edges, work[: len(block)])
    return [item.parts(scale_dtype) for item in made]


def _scales(lowest: Floats, highest: Floats, *, steps: np.float32) -> tuple[Floats, Floats]:
    below = np.abs(lowest) > np.abs(highest)
    scales = np.maximum((highest - lowest) / steps, SMALLEST_SCALE)
    scales = np.where(below, scales, -scales)
    edges = np.where(below, lowest, highest)
    whole = np.rint(edges / scales)
    moved = whole != 0
    scales = np.where(moved, edges / np.where(moved, whole, np.float32(1)), scales)
    return scales, np.where(moved, edges, np.float32(0))


def pack(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Return codes (one per byte, a multiple of 8) as one stream of `bits` each, least significant bit first."""
    if bits == 8:
        return codes
    word, filled = _WORDS[bits]
    words = codes.view(word)
    width, space, size = bits, 8, words.dtype.itemsize
    while space < 8 * size and width < 8 * filled:
        # Neighbours move together: two fields of `width` bits become one of twice that.
        even = word(sum(((1 << width) - 1) << at for at in range(0, 8 * size, 2 * space)))
        words = (words & even) | ((words >> word(space - width)) & word(int(even) << width))
        width, space = 2 * width, 2 * space
    if filled == 1:
        whole: npt.NDArray[np.uint8] = words.astype(np.uint8)
        return whole
    return np.ascontiguousarray(words.view(np.uint8).reshape(-1, size)[:, :filled]).reshape(-1)
