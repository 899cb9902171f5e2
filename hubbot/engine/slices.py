"""Which rows and columns of which sources one slice of a move needs, and how a move is cut into slices.

Selections are followed back through a move's view, so that no source byte is read that is not used. It reads
nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hubbot.moves import Move

MATRICES = 3  # axes of a stack of matrices


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Rows and columns of a unit [..., rows, columns] as the source stores it, to be transposed after reading."""

    rows: range
    columns: range
    transpose: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Units [start, stop) of a move, made from `nbytes` of source.

    `rows` are the output rows [first, stop) of a single unit, None where the units are whole.
    """

    move: Move
    start: int
    stop: int
    nbytes: int
    rows: tuple[int, int] | None = None

    @property
    def source(self) -> str:
        """Return the source tensor that an error about this slice should name."""
        return self.move.sources[self.start if self.move.stacked else 0]

    @property
    def is_joined(self) -> bool:
        """Say whether the units are matrices that stand one below the other in a matrix."""
        return self.move.stacked and len(self.move.shape) < MATRICES


def region(move: Move, unit: tuple[int, ...], rows: tuple[int, int] | None) -> Region:
    """Return the source rows and columns that output `rows` (None: all) of a unit of shape `unit` are made from.

    Example: a unit (8, 6) with view [transpose, take(0, 3)] and rows (1, 3) needs all 8 rows of columns 1 and 2.
    """
    height = unit[-2] if len(unit) > 1 else 1
    selected = {-2: range(height), -1: range(unit[-1] if unit else 1)}
    transposed = False
    for step in move.view:
        if step.kind == "transpose":
            transposed = not transposed
        elif step.kind == "take":
            _restrict(selected, transposed, step.axis, slice(step.start, step.stop, step.step))
    if rows is not None:
        _restrict(selected, transposed, -2, slice(*rows))
    return Region(rows=selected[-2], columns=selected[-1], transpose=transposed)


def _restrict(selected: dict[int, range], transposed: bool, axis: int, part: slice) -> None:
    side = -3 - axis if transposed else axis
    selected[side] = selected[side][part]


def slices_of(
    move: Move, source: tuple[int, ...], nbytes: int, limit: int, *, whole_units: bool = False
) -> Iterator[Slice]:
    """Yield `move` in slices of about `limit` source bytes, which cover every unit and row once and in order.

    `source` is the shape of one source tensor, `nbytes` the bytes of all of them together. A unit larger than
    `limit` is cut along its output rows, unless it is no matrix, `whole_units` is set or the view is arithmetic.
    Example: 4 experts of 100 bytes with a limit of 200 give units 0 to 2 and 2 to 4; with a limit of 50 each
    expert gives two slices of half its rows.
    """
    count, unit = move.unit_shape(source)
    made = move.made_shape(source)
    share = math.prod(made) / max(1, count * math.prod(unit))
    used = count / max(1, _units(move, source))
    per_unit = max(1, int(nbytes * used * share / max(1, count)))
    is_matrix = len(made) == MATRICES and (move.stacked or len(move.shape) == MATRICES)
    if per_unit > limit and is_matrix and not (whole_units or move.is_arithmetic):
        yield from _rows(move, count, made[-2], per_unit, limit)
        return
    step = max(1, limit // per_unit)
    if any(view.kind == "shift" for view in move.view):
        step = count  # the constant is one for the whole vector
    for start in range(0, count, step):
        stop = min(count, start + step)
        yield Slice(move=move, start=start, stop=stop, nbytes=(stop - start) * per_unit)


def _units(move: Move, source: tuple[int, ...]) -> int:
    if move.stacked:
        return len(move.sources)
    return move.groups or (source[0] if source else 1)


def _rows(move: Move, count: int, height: int, per_unit: int, limit: int) -> Iterator[Slice]:
    step = max(1, height * limit // per_unit)
    for unit in range(count):
        for start in range(0, height, step):
            stop = min(height, start + step)
            nbytes = per_unit * (stop - start) // height
            yield Slice(move=move, start=unit, stop=unit + 1, nbytes=nbytes, rows=(start, stop))
