"""Read from source shards exactly the rows and columns that a slice needs. It does not unpack or compute."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checkpoints import TensorInfo
from hubbot.engine.byte_ranges import ByteRanges
from hubbot.engine.floats import RAW
from hubbot.engine.slices import Region, Slice, region
from hubbot.moves import Move, Packed, Part

Raw = npt.NDArray[Any]
FLOAT32_BYTES = 4
# Stored dtype -> numpy type; float bits are held as unsigned integers.
_NUMPY: Mapping[str, Any] = {
    **RAW, "U8": np.uint8, "I8": np.int8, "I32": np.int32, "U32": np.uint32, "I64": np.int64, "F8_E4M3": np.uint8,
    "F8_E8M0": np.uint8, "F8_E5M2": np.uint8,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows `lines` of one packed matrix in its stored orientation, of which `columns` are wanted later.

    `parts` are the stored arrays by role, [rows of the part, ...], floats as bits; `rows` int64 [lines] says which
    row of a part each line uses.
    """

    parts: Mapping[str, Raw]
    rows: Mapping[str, npt.NDArray[np.int64]]
    lines: range
    columns: range


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What may be read: every stored tensor by its name, and the packed tensors by their logical names."""

    tensors: Mapping[str, TensorInfo]
    packed: Mapping[str, Packed]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the logical shape of a source, [..., out, in], also where a packing stores the transpose."""
        if name not in self.packed:
            return self.tensors[name].shape
        packed = self.packed[name]
        return packed.shape[::-1] if packed.transposed else packed.shape

    def nbytes(self, name: str) -> int:
        """Return the stored bytes of a source."""
        if name not in self.packed:
            return self.tensors[name].nbytes
        return sum(self.tensors[part.tensor].nbytes for part in self.packed[name].parts.values())

    def share_stored(self, move: Move) -> float:
        """Return the stored bytes of a move over those in memory: codes become float32 before they are encoded."""
        if move.sources[0] not in self.packed:
            return 1.0
        stored = sum(self.nbytes(name) for name in move.sources)
        elements = sum(math.prod(self.shape(name)) for name in move.sources)
        return min(1.0, stored / max(1, FLOAT32_BYTES * elements))

    def dtype(self, name: str) -> str:
        """Return the dtype of a source's elements, float32 for what is unpacked."""
        return "F32" if name in self.packed else self.tensors[name].dtype

    def shards(self, name: str) -> set[str]:
        """Return the files that a source's bytes are in."""
        if name not in self.packed:
            return {self.tensors[name].shard}
        return {self.tensors[part.tensor].shard for part in self.packed[name].parts.values()}


class Shards(ByteRanges):
    """The open weight files of one checkpoint folder; use as a context manager."""

    def __init__(self, folder: Path, sources: Sources) -> None:
        super().__init__(folder)
        self._sources = sources

    def read(self, part: Slice) -> tuple[Raw | list[Block], Region]:
        """Return what `part` is made from, and its region.

        A plain source gives bits [units, rows, columns] in the stored orientation, a packed one a block per unit.
        Raises CorruptHeader where a shard ends early.
        """
        name = part.source
        _, unit = part.move.unit_shape(self._sources.shape(name))
        area = region(part.move, unit, part.rows)
        if name in self._sources.packed:
            return [self._block(*place) for place in self._places(part, area, unit)], area
        if part.move.stacked:
            return self._stack(part, area), area
        first = (part.move.units or (0, 0))[0]
        return self._units(self._sources.tensors[name], part, unit, area, first), area

    def is_packed(self, name: str) -> bool:
        """Say whether a source is stored as codes and scales."""
        return name in self._sources.packed

    def packed_rows(self, name: str, matrix: int | None, rows: range) -> tuple[Packed, Block, dict[str, str]]:
        """Return how a source is packed, `rows` of its matrix (number `matrix` of a stack), and its dtypes."""
        packed, shape = self._sources.packed[name], self._sources.shape(name)
        dtypes = {role: self._sources.tensors[part.tensor].dtype for role, part in packed.parts.items()}
        return packed, self._block(packed, matrix or 0, rows, range(shape[-1])), dtypes

    def _stack(self, part: Slice, area: Region) -> Raw:
        names = part.move.sources[part.start : part.stop]
        first = self._sources.tensors[names[0]]
        whole = _is_whole(area, first.shape)
        out = np.empty((len(names), *_made(area, first.shape)), _NUMPY[first.dtype])
        for index, name in enumerate(names):
            info = self._sources.tensors[name]
            self._area(out[index], info, 0, info.shape, None if whole else area)
        return out

    def _units(self, info: TensorInfo, part: Slice, unit: tuple[int, ...], area: Region, first: int) -> Raw:
        whole = _is_whole(area, unit)
        out = np.empty((part.stop - part.start, *_made(area, unit)), _NUMPY[info.dtype])
        stride = int(np.prod(unit, dtype=np.int64))
        if whole:
            self.read_into(out, info, (first + part.start) * stride * out.itemsize)
            return out
        for index in range(len(out)):
            self._area(out[index], info, (first + part.start + index) * stride, unit, area)
        return out

    def _area(self, out: Raw, info: TensorInfo, start: int, unit: tuple[int, ...], area: Region | None) -> None:
        """Fill `out` with the area of the unit that begins at element `start` of the tensor."""
        size = out.itemsize
        if area is None:
            self.read_into(out, info, start * size)
            return
        width = unit[-1]
        if len(area.columns) == width and area.rows.step == 1:
            self.read_into(out, info, (start + area.rows.start * width) * size)
            return
        lines = out.reshape(len(area.rows), len(area.columns))
        columns = area.columns
        for line, row in zip(lines, area.rows, strict=True):
            if columns.step == 1:
                self.read_into(line, info, (start + row * width + columns.start) * size)
            else:
                whole = np.empty(width, out.dtype)
                self.read_into(whole, info, (start + row * width) * size)
                line[:] = whole[columns.start : columns.stop : columns.step]

    def _places(
        self, part: Slice, area: Region, unit: tuple[int, ...]
    ) -> Iterator[tuple[Packed, int, range, range]]:
        """Yield (packed tensor, number of the matrix, its rows, its columns) of every block of a slice."""
        move = part.move
        units = range(part.start, part.stop)
        first = (move.units or (0, 0))[0]
        if move.stacked:
            for expert in units:
                yield self._sources.packed[move.sources[expert]], 0, area.rows, area.columns
            return
        packed = self._sources.packed[move.sources[0]]
        for number in units if len(unit) > 1 else ():
            place = first + number
            if move.groups is None:
                yield packed, place, area.rows, area.columns
            else:
                base, rows = place * unit[-2], area.rows
                yield packed, 0, range(base + rows.start, base + rows.stop, rows.step), area.columns
        if len(unit) <= 1:
            yield packed, 0, range(first + part.start, first + part.stop), area.columns

    def _block(self, packed: Packed, matrix: int, rows: range, columns: range) -> Block:
        if packed.transposed:
            rows, columns = columns, rows
        parts, index = {}, {}
        for role, part in packed.parts.items():
            parts[role], index[role] = self._part(packed, part, matrix, rows)
        return Block(parts=parts, rows=index, lines=rows, columns=columns)

    def _part(self, packed: Packed, part: Part, matrix: int, rows: range) -> tuple[Raw, npt.NDArray[np.int64]]:
        info = self._sources.tensors[part.tensor]
        # A tensor for all experts has their number as its first axis, like the logical one.
        per_matrix = len(packed.shape) == 3 and len(info.shape) > 0 and info.shape[0] == packed.shape[0]
        shape = info.shape[1:] if per_matrix else info.shape
        base = matrix * int(np.prod(shape, dtype=np.int64)) if per_matrix else 0
        if part.rows == 0 or not shape:
            out = np.empty(shape or (1,), _NUMPY[info.dtype])
            self.read_into(out, info, base * out.itemsize)
            return out, np.zeros(len(rows), np.int64)
        wanted = np.asarray(rows, np.int64) // part.rows
        low, high = (int(wanted.min()), int(wanted.max()) + 1) if len(wanted) else (0, 0)
        tail = shape[1:]
        line = int(np.prod(tail, dtype=np.int64))
        if part.rows == 1 and abs(rows.step) != 1:
            out = np.empty((len(rows), *tail), _NUMPY[info.dtype])
            for target, row in zip(out, rows, strict=True):
                self.read_into(target, info, (base + row * line) * out.itemsize)
            return out, np.arange(len(rows))
        out = np.empty((high - low, *tail), _NUMPY[info.dtype])
        self.read_into(out, info, (base + low * line) * out.itemsize)
        return out, wanted - low


def _is_whole(area: Region, unit: tuple[int, ...]) -> bool:
    height = unit[-2] if len(unit) > 1 else 1
    width = unit[-1] if unit else 1
    return area.rows == range(height) and area.columns == range(width)


def _made(area: Region, unit: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that the area of a unit has."""
    if _is_whole(area, unit):
        return unit
    return (*unit[:-2], len(area.rows), len(area.columns))[-len(unit) :]
