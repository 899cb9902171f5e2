"""Affine quantization in numpy, several bit widths from one pass: the definition of the bits that hubbot writes.

They are those of mx.quantize on a CPU (mlx 0.32, mlx/backend/cpu/quantized). Per group: scale = range divided by
2^bits - 1, moved so that the edge of larger magnitude is a whole number of steps; a code is
round((w - edge) / scale), packed lowest bit first. numpy releases the interpreter's lock in every loop here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import from_float32, to_float32, to_float32_into

Floats = npt.NDArray[np.float32]
SMALLEST_SCALE: Final = np.float32(1e-7)
HALVES: Final = ("BF16", "F16")
# Elements at a time: the float32 temporaries stay in a core's own cache.
BLOCK: Final = 1 << 18
# bits -> the word that holds whole bytes of codes, and how many of its bytes they fill.
_WORDS: Final[Mapping[int, tuple[Any, int]]] = {
    2: (np.uint32, 1),
    3: (np.uint64, 3),
    4: (np.uint16, 1),
    5: (np.uint64, 5),
    6: (np.uint32, 3),
}


class AffineWeight:
    """The stored parts of one weight at one bit width, filled block by block.

    `shape` is that of the weight, [..., in].
    """

    def __init__(self, shape: tuple[int, ...], *, bits: int, group_size: int) -> None:
        *lead, width = shape
        self.bits = bits
        self._shape = (*lead, width * bits // 32)
        self._groups = (*lead, width // group_size)
        elements = int(np.prod(shape, dtype=np.int64))
        # Packing stores whole words, the last of which may reach beyond the codes.
        self._codes = np.empty(elements * bits // 8 + 8, np.uint8)
        self._scales = self._biases = np.empty(0, np.float32)

    def scale(self, edges: tuple[Floats, Floats]) -> None:
        """Set scale and bias of every group from `edges`: float32 (least, greatest), [groups] each."""
        self._scales, self._biases = _scales(*edges, steps=np.float32(2**self.bits - 1))

    def fill(self, first: int, groups: Floats, scratch: "_Scratch") -> None:
        """Quantize float32 `groups` [n, group_size] and pack them as groups number `first` and following."""
        stop = first + len(groups)
        per_group = groups.shape[1] * self.bits // 8
        scales = self._scales[first:stop]
        # A scale of zero is that of a constant too large for steps of 1e-7: every code is 0.
        scales = np.where(scales == 0, np.float32(1), scales)
        codes = scratch.codes(groups, scales, self._biases[first:stop], self.bits)
        pack_into(self._codes[first * per_group :], codes, self.bits)

    def parts(self, dtype: str) -> dict[str, npt.NDArray[Any]]:
        """Return "weight" uint32 [..., in * bits / 32], "scales" and "biases" [..., in / group_size].

        Scales and biases are bits of `dtype`.
        """
        return {
            "weight": self._codes[:-8].view(np.uint32).reshape(self._shape),
            "scales": from_float32(self._scales, dtype).reshape(self._groups),
            "biases": from_float32(self._biases, dtype).reshape(self._groups),
        }


class _Scratch:
    """Arrays for one block, used again by every block, so that they stay in the cache."""

    def __init__(self, step: int, group_size: int, widths: Sequence[int]) -> None:
        self.group_size = group_size
        self._groups = np.empty((step, group_size), np.float32)
        self._quotients = np.empty_like(self._groups)
        self._codes = np.empty((step, group_size), np.uint8)
        # numpy compares two arrays six times as fast as an array and a number.
        self._largest = {bits: np.full((step, group_size), 2**bits - 1, np.float32) for bits in widths}

    def widened(self, part: npt.NDArray[Any], dtype: str, *, rounded_to: str) -> Floats:
        """Return raw bits as float32 groups [n, group_size], rounded; valid until the next block."""
        block = self._groups[: part.size // self.group_size]
        to_float32_into(block.reshape(-1), part, dtype, rounded_to=rounded_to)
        return block

    def codes(self, groups: Floats, scales: Floats, biases: Floats, bits: int) -> npt.NDArray[np.uint8]:
        """Return round((w - bias) / scale) of a block, one code per byte."""
        count = len(groups)
        found, codes = self._quotients[:count], self._codes[:count]
        np.subtract(groups, biases[:, None], out=found)
        np.divide(found, scales[:, None], out=found)
        np.rint(found, out=found)
        # Never negative: the bias is one edge and the scale points to the other.
        np.minimum(found, self._largest[bits][:count], out=found)
        np.copyto(codes, found, casting="unsafe")
        return codes.reshape(-1)


def quantize(
    raw: npt.NDArray[Any], dtype: str, *, group_size: int, widths: Sequence[int], scale_dtype: str
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return, for every bit width of `widths`, the stored parts of finite weights `raw`.

    `raw` are bits [..., in] of `dtype` (F32, F16 or BF16); `in` is a multiple of `group_size`. The weights are
    rounded to `scale_dtype` first, as mlx_lm.convert does. The parts are those of `AffineWeight.parts`.
    """
    made = [AffineWeight(raw.shape, bits=bits, group_size=group_size) for bits in widths]
    flat = np.ascontiguousarray(raw).reshape(-1)
    count = flat.size // group_size
    step = BLOCK // group_size
    scratch = _Scratch(min(step, count), group_size, widths)
    lowest, highest = np.empty(count, np.float32), np.empty(count, np.float32)
    for first, part in _blocks(flat, group_size, step):
        stop = first + part.size // group_size
        lowest[first:stop], highest[first:stop] = _edges(part, dtype, scratch, rounded_to=scale_dtype)
    for item in made:
        item.scale((lowest, highest))
    for first, part in _blocks(flat, group_size, step):
        block = scratch.widened(part, dtype, rounded_to=scale_dtype)
        for item in made:
            item.fill(first, block, scratch)
    return [item.parts(scale_dtype) for item in made]


def _blocks(flat: npt.NDArray[Any], group_size: int, step: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield (first group, elements) of `step` groups after the other."""
    for first in range(0, flat.size // group_size, step):
        yield first, flat[first * group_size : (first + step) * group_size]


def _edges(part: npt.NDArray[Any], dtype: str, scratch: "_Scratch", *, rounded_to: str) -> tuple[Floats, Floats]:
    """Return the least and the greatest of every group of raw bits, as the floats that they are rounded to."""
    if dtype == rounded_to and dtype in HALVES:
        # Sixteen bits compare in half the time of floats, once they are in the order of what they stand for.
        least, greatest = _extremes(_ordered(part.view(np.int16)).reshape(-1, scratch.group_size))
        lowest, highest = (_ordered(found).view(np.uint16) for found in (least, greatest))
        return to_float32(lowest, dtype), to_float32(highest, dtype)
    return _extremes(scratch.widened(part, dtype, rounded_to=rounded_to))


def _ordered(bits: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Return the bits of 16-bit floats as integers in the floats' order; of such integers, the bits."""
    found = bits >> np.int16(15)
    found &= np.int16(0x7FFF)
    found ^= bits
    return found


def _extremes(groups: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the least and the greatest of every group [n, group_size].

    Across the first axis numpy compares whole vectors; along the last one it is five times slower. So groups are
    turned, sixteen bytes at a time, which is twice as fast as number by number.
    """
    together = 16 // groups.dtype.itemsize
    turned = np.ascontiguousarray(groups.view(np.complex128).T).view(groups.dtype)
    lowest = np.ascontiguousarray(turned.min(axis=0).reshape(-1, together).T)
    highest = np.ascontiguousarray(turned.max(axis=0).reshape(-1, together).T)
    return lowest.min(axis=0), highest.max(axis=0)


def _scales(lowest: Floats, highest: Floats, *, steps: np.float32) -> tuple[Floats, Floats]:
    below = np.abs(lowest) > np.abs(highest)
    edges = np.where(below, lowest, highest)
    # The largest floats of both signs have no finite range; of one sign, no finite number of steps.
    with np.errstate(over="ignore"):
        scales = np.maximum((highest - lowest) / steps, SMALLEST_SCALE)
        scales = np.where(below, scales, -scales)
        whole = np.rint(edges / scales)
    moved = whole != 0
    scales = np.where(moved, edges / np.where(moved, whole, np.float32(1)), scales)
    return scales, np.where(moved, edges, np.float32(0))


def pack_into(out: npt.NDArray[np.uint8], codes: npt.NDArray[np.uint8], bits: int) -> None:
    """Write codes [n], one per byte and n a multiple of 8, as a stream of `bits` each, lowest bit first.

    `out` uint8 [at least n * bits / 8 + 8]: up to 8 bytes beyond the stream are written too.
    """
    nbytes = codes.size * bits // 8
    if bits == 8:
        out[:nbytes] = codes
        return
    word, filled = _WORDS[bits]
    words = _joined(codes.view(word), bits, 8 * filled)
    if filled == 1:
        np.copyto(out[:nbytes], words, casting="unsafe")
        return
    # Whole words at every `filled` bytes, in order: each covers what the one before it wrote too much.
    np.ndarray(shape=words.shape, dtype=word, buffer=out.data, strides=(filled,))[:] = words


def _joined(words: npt.NDArray[Any], width: int, wanted: int) -> npt.NDArray[Any]:
    """Return words in which fields of `width` bits, 8 apart, stand side by side up to `wanted` bits."""
    space, size = 8, 8 * words.dtype.itemsize
    while space < size and width < wanted:
        # Neighbours move together: two fields become one of twice the width.
        even = words.dtype.type(sum(((1 << width) - 1) << at for at in range(0, size, 2 * space)))
        moved = words >> words.dtype.type(space - width)
        moved &= words.dtype.type(int(even) << width)
        words = words & even
        words |= moved
        width, space = 2 * width, 2 * space
    return words
