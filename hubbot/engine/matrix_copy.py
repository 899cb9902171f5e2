"""Matrices copied bit for bit to their place in another expert layout, a band of rows at a time.

Rows are selected and transposed, never computed with. Memory stays under a limit however large a matrix is;
only transposing a matrix larger than the limit reads it more than once.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.catalogue.experts.relayout_moves import Output, Piece
from hubbot.checkpoints import TensorInfo
from hubbot.engine.byte_ranges import word_type
from hubbot.engine.floats import from_float32
from hubbot.engine.reader import Shards
from hubbot.engine.unpacking import unpack

Array = npt.NDArray[Any]
# A band is in memory while it is written, the next while it is made, and beside it what is being read.
HELD = 4
# Bytes of one element while it is decoded: its code, its float32 value, and what becomes of it.
DECODED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Some bytes of one output tensor, which begin `offset` bytes after its start."""

    output: str
    offset: int
    data: memoryview


def bands(output: Output, tensors: Mapping[str, TensorInfo], ranges: Shards, limit: int) -> Iterator[Band]:
    """Yield the bytes of `output` in order; about `limit` bytes are in memory at once.

    What `ranges` knows as packed is decoded to the dtype of `output`.

    Raises UnknownPacking for elements that are no whole bytes, CorruptHeader where a shard ends early.
    """
    limit = max(1, limit // HELD)
    if not output.pieces and ranges.is_packed(output.source):
        yield from _decoded(output, ranges, limit)
        return
    if not output.pieces:
        yield from _copied(output, tensors[output.source], ranges, limit)
        return
    stacked = output.pieces[0].target.expert is not None
    count = output.shape[0] if stacked else 1
    matrix = _as_matrix(output.shape[1:] if stacked else output.shape)
    share = len(output.pieces) // count
    mover = _Mover(tensors=tensors, ranges=ranges, limit=limit)
    kind = word_type(tensors[output.source])
    row_bytes = matrix[1] * kind().itemsize
    for expert, number, first, rows in _cuts(count, matrix[0], row_bytes, limit):
        made = np.empty((number, rows, matrix[1]), kind)
        for index in range(number):
            for piece in output.pieces[(expert + index) * share : (expert + index + 1) * share]:
                mover.put(piece, made[index], first)
        offset = (expert * matrix[0] + first) * row_bytes
        yield Band(output=output.name, offset=offset, data=made.reshape(-1).view(np.uint8).data)


def _copied(output: Output, tensor: TensorInfo, ranges: Shards, limit: int) -> Iterator[Band]:
    for start in range(0, tensor.nbytes, limit):
        made = np.empty(min(limit, tensor.nbytes - start), np.uint8)
        ranges.read_into(made, tensor, start)
        yield Band(output=output.name, offset=start, data=made.data)


def _decoded(output: Output, ranges: Shards, limit: int) -> Iterator[Band]:
    """Yield a packed tensor beside the experts, some of its rows at a time."""
    *lead, height, width = output.shape
    for matrix in range(math.prod(lead)):
        step = max(1, limit // (DECODED * width))
        for first in range(0, height, step):
            rows = range(first, min(height, first + step))
            made = from_float32(_values(ranges, output.source, matrix if lead else None, rows), output.dtype)
            offset = (matrix * height + first) * width * made.itemsize
            yield Band(output=output.name, offset=offset, data=made.reshape(-1).view(np.uint8).data)


def _values(ranges: Shards, name: str, matrix: int | None, rows: range) -> npt.NDArray[np.float32]:
    """Return consecutive rows of a packed matrix [out, in] as float32."""
    packed, block, dtypes = ranges.packed_rows(name, matrix, rows)
    return np.ascontiguousarray(unpack(packed, block, dtypes))


def _cuts(experts: int, height: int, row_bytes: int, limit: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first expert, experts, first row, rows): several whole experts, or rows of a single one."""
    together = limit // (height * row_bytes)
    if together:
        for expert in range(0, experts, together):
            yield expert, min(together, experts - expert), 0, height
        return
    rows = max(1, limit // row_bytes)
    for expert in range(experts):
        for first in range(0, height, rows):
            yield expert, 1, first, min(rows, height - first)


def _as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of one expert's part: a bias is a matrix of one column."""
    return (shape[0], math.prod(shape[1:]))


def _up(distance: int, step: int) -> int:
    """Return how many steps it takes to get at least so far."""
    return max(0, -(-distance // step))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mover:
    tensors: Mapping[str, TensorInfo]
    ranges: Shards
    limit: int

    def put(self, piece: Piece, band: Array, first: int) -> None:
        """Put what `piece` has of a target's rows [first, first + len(band)) into `band`."""
        height, width = _as_matrix(piece.shape)
        start, stop, step = piece.target.rows
        if piece.target.transposed:
            # The band's rows are inputs, its columns outputs.
            columns = range(first, first + len(band))
            band[:, start:stop:step] = self._window(piece, range(height), columns).T
            return
        rows = range(_up(first - start, step), min(height, _up(first + len(band) - start, step)))
        if rows:
            at = start + rows.start * step - first
            band[at : at + (len(rows) - 1) * step + 1 : step] = self._window(piece, rows, range(width))

    def _window(self, piece: Piece, rows: range, columns: range) -> Array:
        """Return rows x columns of the piece's [out, in] matrix from where it lies in the source."""
        start, _, step = piece.source.rows
        placed = range(start + rows.start * step, start + rows.stop * step, step)
        if piece.source.transposed:
            return self._read(piece, columns, placed).T
        return self._read(piece, placed, columns)

    def _read(self, piece: Piece, rows: range, columns: range) -> Array:
        """Return rows x columns of the source tensor's expert as it is stored, read in bounded blocks."""
        tensor = self.tensors[piece.source.tensor]
        expert = piece.source.expert
        height, width = _as_matrix(tensor.shape if expert is None else tensor.shape[1:])
        kind = word_type(tensor)
        base = (expert or 0) * height * width
        out = np.empty((len(rows), len(columns)), kind)
        if self.ranges.is_packed(tensor.name):
            self._decode(out, piece, rows, columns)
            return out
        whole = columns == range(width)
        taken = max(1, self.limit // (width * kind().itemsize * rows.step))
        for done in range(0, len(rows), taken):
            some = rows[done : done + taken]
            target = out[done : done + len(some)]
            at = (base + some.start * width) * kind().itemsize
            if whole and rows.step == 1:
                self.ranges.read_into(target, tensor, at)
                continue
            block = np.empty((some[-1] - some[0] + 1, width), kind)
            self.ranges.read_into(block, tensor, at)
            target[:] = block[:: rows.step, columns.start : columns.stop : columns.step]
        return out

    def _decode(self, out: Array, piece: Piece, rows: range, columns: range) -> None:
        """Fill `out` with rows x columns of a packed expert's matrix, decoded some rows at a time."""
        tensor = self.tensors[piece.source.tensor]
        step = max(1, self.limit // (DECODED * max(1, tensor.shape[-1]) * rows.step))
        for done in range(0, len(rows), step):
            some = rows[done : done + step]
            values = _values(self.ranges, tensor.name, piece.source.expert, range(some[0], some[-1] + 1))
            wanted = values[:: rows.step, columns.start : columns.stop : columns.step]
            out[done : done + len(some)] = from_float32(np.ascontiguousarray(wanted), tensor.dtype)
