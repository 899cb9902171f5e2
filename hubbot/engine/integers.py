"""Codes, scales and zero points of one block of an integer packing: pack-quantized, int-quantized, gptq or awq.

A weight is (code - zero point) * scale; that product is not computed here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.engine import bit_packing
from hubbot.engine.floats import to_float32
from hubbot.engine.reader import Block
from hubbot.errors import ValueMismatch
from hubbot.moves import Packed

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """Codes uint8 [rows, columns] in the orientation in which the block is stored.

    `scales` and `zeros` are float32 [rows or 1, groups or columns or 1]. `index` int64 [rows] says which of their
    rows each row uses, `order` int64 [columns] which of their columns each column uses (None: as many
    neighbouring columns as make a group share one).
    """

    codes: npt.NDArray[np.uint8]
    scales: Floats
    zeros: Floats
    index: Index
    order: Index | None


def integers(packed: Packed, block: Block, scale_dtype: str) -> Integers:
    """Return codes, scales and zero points of a block whose scales are stored as `scale_dtype`.

    Raises ValueMismatch where a stored order of groups names a group that does not exist.
    """
    scales = to_float32(block.parts["scale"], scale_dtype)
    scales = scales.reshape(scales.shape[0], -1) if scales.ndim > 1 or packed.rows else scales.reshape(1, -1)
    order, index = None, block.rows["scale"]
    if "order" in block.parts:
        groups = block.parts["order"].astype(np.int64)
        if packed.transposed:
            index = _checked(packed, groups[block.rows["order"]], len(scales))
        elif groups.min(initial=0) >= 0:  # compressed-tensors: -1 stands for no order at all
            order = _checked(packed, groups, scales.shape[1])
    return Integers(
        codes=_codes(packed, block), scales=scales, zeros=_zeros(packed, block, scales), index=index, order=order
    )


def _checked(packed: Packed, groups: Index, count: int) -> Index:
    if groups.min(initial=0) < 0 or groups.max(initial=0) >= count:
        raise ValueMismatch(
            f"the order of {packed.name!r} names group {int(groups.max(initial=0))} of {count}",
            where=packed.parts["order"].tensor,
            hint="the checkpoint itself is damaged; nothing is published from it",
        )
    return groups


def _codes(packed: Packed, block: Block) -> npt.NDArray[np.uint8]:
    raw = block.parts["codes"]
    if packed.packing == "int-quantized":
        return bit_packing.from_signed_bytes(raw)
    if packed.packing == "awq":
        return bit_packing.in_awq_order(raw)
    if packed.packing == "gptq":
        return _lines(bit_packing.along_rows(raw, packed.bits), packed, block, "codes")
    return bit_packing.along_columns(raw, packed.bits)


def _lines(codes: npt.NDArray[Any], packed: Packed, block: Block, role: str) -> npt.NDArray[Any]:
    """Return the rows that the block asks for, of codes that were packed along rows."""
    per_word = packed.parts[role].rows
    wanted = block.rows[role] * per_word + np.asarray(block.lines, np.int64) % per_word
    picked: npt.NDArray[Any] = codes[wanted]
    return picked


def _zeros(packed: Packed, block: Block, scales: Floats) -> Floats:
    """Return zero points as floats, one where all are the same, else as many as there are scales."""
    if "zeros" not in block.parts:
        return np.full((1, 1), packed.zero, np.float32)
    raw = block.parts["zeros"]
    if packed.transposed:
        is_awq = packed.packing == "awq"
        stored = bit_packing.in_awq_order(raw) if is_awq else bit_packing.along_columns(raw, packed.bits)
        # Computed in the code's own bits: what is stored for zero point 0 less one is all ones.
        wrapped: Floats = ((stored + np.uint8(packed.zero)) & np.uint8((1 << packed.bits) - 1)).astype(np.float32)
        return wrapped
    if raw.dtype == np.int8:
        half = 1 << (packed.bits - 1)
        return (raw.astype(np.float32) + np.float32(half)).reshape(scales.shape)
    every = bit_packing.along_rows(raw.reshape(raw.shape[0], -1), packed.bits)
    return _lines(every, packed, block, "zeros").astype(np.float32)
