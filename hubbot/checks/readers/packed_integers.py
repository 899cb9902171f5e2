"""Integer codes, zero points and scales -> float32 in plain numpy, a function per packing: the referee's reading.

A value is (code - zero point) * scale. Sources: vllm-project/compressed-tensors (pack_quantized, forward.py),
AutoGPTQ (zero points stored less one, wrapped in their bits), AutoAWQ (outputs 0 2 4 6 1 3 5 7 of eight).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.tensor_files import Floats, TensorFiles, widen
from hubbot.errors import ValueMismatch
from hubbot.moves import Packed

Ints = npt.NDArray[np.int32]
# Which of eight neighbouring outputs each of a word's codes is, lowest bits first.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
WORD = 32


def whole(files: TensorFiles, name: str) -> npt.NDArray[Any]:
    """Return a whole stored tensor [...] in the dtype that it is stored in; a scalar as one element [1]."""
    shape = files.tensors[name].shape
    return files.raw(name, 0, shape[0] if shape else 1)


def pack_quantized(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    """Return float32 [stop - start, in]: rows of compressed-tensors words, int32 along the columns."""
    codes = _fields(files.raw(packed.parts["codes"].tensor, start, stop), packed.bits)
    zeros: Ints = np.full((1, 1), packed.zero, np.int32)
    if "zeros" in packed.parts:
        raw = _beside(files, packed, "zeros", start, stop)
        if raw.dtype == np.int8:
            zeros = raw.astype(np.int32) + (1 << (packed.bits - 1))
        else:
            zeros = _fields(raw.swapaxes(-1, -2), packed.bits).swapaxes(-1, -2)[..., : packed.shape[-2], :]
    return _valued(files, packed, codes, zeros, start)


def int_quantized(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    """Return float32 [stop - start, in]: rows of signed bytes times their scales."""
    codes = files.raw(packed.parts["codes"].tensor, start, stop).astype(np.int32)
    zeros: Ints = np.zeros((1, 1), np.int32)
    if "zeros" in packed.parts:
        zeros = _beside(files, packed, "zeros", start, stop).astype(np.int32)
    return _valued(files, packed, codes, zeros, start)


def _beside(files: TensorFiles, packed: Packed, role: str, start: int, stop: int) -> npt.NDArray[Any]:
    """Return a part: of a stack that of experts [start, stop), else all of it, since rows may share its rows."""
    name = packed.parts[role].tensor
    per_expert = len(packed.shape) == 3 and files.tensors[name].shape[:1] == packed.shape[:1]
    return files.raw(name, start, stop) if per_expert else whole(files, name)


def _valued(files: TensorFiles, packed: Packed, codes: Ints, zeros: Ints, start: int) -> Floats:
    scales = widen(_beside(files, packed, "scale", start, start + len(codes)), _dtype(files, packed))
    if "order" in packed.parts:
        order = whole(files, packed.parts["order"].tensor).astype(np.int64)
        if order.min(initial=0) >= 0:
            scales, zeros = (_ordered(packed, grid, order) for grid in (scales, zeros))
    # A stack's parts are those of its experts already, a matrix's are whole.
    is_stack = len(packed.shape) == 3
    shape = (len(codes), *packed.shape[1:]) if is_stack else packed.shape
    first = 0 if is_stack else start
    scale, zero = (_spread(grid, shape)[first : first + len(codes)] for grid in (scales, zeros))
    values: Floats = (codes - zero).astype(np.float32) * scale
    return values


def _dtype(files: TensorFiles, packed: Packed) -> str:
    return files.tensors[packed.parts["scale"].tensor].dtype


def _ordered(packed: Packed, grid: npt.NDArray[Any], order: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    if grid.shape[-1] == 1:
        return grid
    if order.max(initial=0) >= grid.shape[-1]:
        raise ValueMismatch(f"the order of {packed.name!r} names a group that there is not", where=packed.name)
    return grid[..., order]


def _spread(grid: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a grid over the whole of `shape`: neighbours share a number, or a row, or all do."""
    if grid.size == 1:
        return np.broadcast_to(grid.reshape(1), shape)
    rows = grid.reshape(*shape[:-1], -1)
    return np.repeat(rows, shape[-1] // rows.shape[-1], axis=-1)


def gptq(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    """Return rows [start, stop) of a gptq matrix as stored, float32 [stop - start, out].

    Raises ValueMismatch where its zero points mean two things.
    """
    words = whole(files, packed.parts["codes"].tensor)
    codes = _fields(words.T, packed.bits).T
    zeros = _fields(whole(files, packed.parts["zeros"].tensor), packed.bits)
    # A zero point of 0 less one is all ones in the code's own bits.
    zeros = (zeros + packed.zero) % (1 << packed.bits)
    scales = widen(whole(files, packed.parts["scale"].tensor), _dtype(files, packed))
    if "order" in packed.parts:
        groups = whole(files, packed.parts["order"].tensor).astype(np.int64)
        if groups.min(initial=0) < 0 or groups.max(initial=0) >= len(scales):
            raise ValueMismatch(f"the order of {packed.name!r} names a group that there is not", where=packed.name)
    else:
        groups = np.arange(packed.shape[0]) // packed.rows
    return _matrix(codes, zeros, scales, groups)[start:stop]


def awq(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    """Return float32 rows [start, stop) of an awq matrix as stored, [in, out]."""
    codes, zeros = (_awq_fields(whole(files, packed.parts[role].tensor)) for role in ("codes", "zeros"))
    groups = np.arange(packed.shape[0]) // packed.rows
    scales = widen(whole(files, packed.parts["scale"].tensor), _dtype(files, packed))
    return _matrix(codes, zeros, scales, groups)[start:stop]


def _matrix(codes: Ints, zeros: Ints, scales: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    values: Floats = (codes - zeros[groups]).astype(np.float32) * scales[groups]
    return values


def _awq_fields(words: npt.NDArray[Any]) -> Ints:
    fields = _fields(words, 4).reshape(*words.shape, 8)
    made = np.empty_like(fields)
    for place, output in enumerate(AWQ_ORDER):
        made[..., output] = fields[..., place]
    return made.reshape(*words.shape[:-1], -1)


def _fields(words: npt.NDArray[Any], bits: int) -> Ints:
    """Return the fields of `bits` of words [..., n] as [..., n * 32 / bits], lowest first."""
    unsigned = np.ascontiguousarray(words).view(np.uint32)
    made = np.empty((*words.shape, WORD // bits), np.int32)
    for place in range(WORD // bits):
        made[..., place] = (unsigned >> np.uint32(place * bits)) & np.uint32((1 << bits) - 1)
    return made.reshape(*words.shape[:-1], -1)
