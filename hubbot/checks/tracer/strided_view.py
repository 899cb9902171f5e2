"""Finds which strided part of a source tensor an output holds, and in which order of axes, from elements alone.

The tensor's first axis may be split into equal units first. It knows no rows of the catalogue and no names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from hubbot.checks.tracer.element_ids import Indices

Shape = tuple[int, ...]
MOST_AXES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A box of a tensor of `shape`: `ranges` of its axes (start, stop, step), its axes then in `order`.

    With `units` the tensor's first axis was split into so many first, and `shape` is that of the split tensor.
    """

    shape: Shape
    ranges: tuple[tuple[int, int, int], ...]
    order: tuple[int, ...]
    units: int | None

    def __str__(self) -> str:
        if self.is_whole and self.is_straight:
            return "as it is"
        told = [] if self.is_whole else [f"[{', '.join(self._axes())}]"]
        if self.units is not None:
            told.insert(0, f"of each of {self.units} units")
        if not self.is_straight:
            last = (*range(len(self.order) - 2), len(self.order) - 1, len(self.order) - 2)
            told.append("transposed" if self.order == last else f"axes {list(self.order)}")
        return " ".join(told)

    @property
    def is_whole(self) -> bool:
        """Say whether every element of the tensor is in it."""
        return all(span == (0, length, 1) for span, length in zip(self.ranges, self.shape, strict=True))

    @property
    def is_straight(self) -> bool:
        """Say whether its elements are in the tensor's own order."""
        return self.order == tuple(range(len(self.order)))

    def _axes(self) -> Iterator[str]:
        for (start, stop, step), length in zip(self.ranges, self.shape, strict=True):
            if (start, stop, step) == (0, length, 1):
                yield ":"
            else:
                yield f"{start}:{stop}" + (f":{step}" if step > 1 else "") + f" of {length}"


def view_of(elements: Indices, shape: Shape) -> View | None:
    """Return the view of a tensor of `shape` that `elements` [...], numbered from 0, are, or None."""
    flat = elements.ravel()
    found = _box(flat, shape or (1,), None)
    if found is not None or not shape:
        return found
    for units in range(2, shape[0]):
        if shape[0] % units == 0:
            found = _box(flat, (units, shape[0] // units, *shape[1:]), units)
            if found is not None:
                return found
    return None


def _box(flat: Indices, shape: Shape, units: int | None) -> View | None:
    if len(shape) > MOST_AXES:
        return None
    ranges = [
        _range(coordinates, length) for coordinates, length in zip(_unravel(flat, shape), shape, strict=True)
    ]
    spans = [span for span in ranges if span is not None]
    if len(spans) < len(shape) or np.prod([len(range(*span)) for span in spans]) != flat.size:
        return None
    whole = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    box = whole[tuple(slice(*span) for span in spans)]
    for order in _orders(box.shape):
        if np.array_equal(box.transpose(order).ravel(), flat):
            return View(shape=shape, ranges=tuple(spans), order=order, units=units)
    return None


def _unravel(flat: Indices, shape: Shape) -> Sequence[Indices]:
    return np.unravel_index(flat, shape)


def _range(coordinates: Indices, length: int) -> tuple[int, int, int] | None:
    """Return (start, stop, step) of the coordinates that occur on an axis, or None where they are uneven."""
    occurs = np.zeros(length, bool)
    occurs[coordinates] = True
    found = np.flatnonzero(occurs)
    steps = np.diff(found)
    if len(steps) and (steps != steps[0]).any():
        return None
    step = int(steps[0]) if len(steps) else 1
    # 1:4:2 reads as well as 1:3:2, and says that the axis is taken in turn to its end.
    return int(found[0]), min(length, int(found[-1]) + step), step


def _orders(shape: Shape) -> Iterator[tuple[int, ...]]:
    """Yield the orders of axes, the likeliest first: as they are, and the last two exchanged."""
    yield from permutations(range(len(shape)))
