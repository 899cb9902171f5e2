"""Slices cover a parameter: every element once, in order, whatever the view, the limit and the kind of source."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.engine.slices import Slice, region, slices_of
from hubbot.moves import TRANSPOSE, Move, Step, take

Ids = npt.NDArray[np.int64]
FIXED = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Example:
    """A move, the shape of one source, and the ids of every source element, [units, *shape of a unit]."""

    move: Move
    source: tuple[int, ...]
    units: Ids


def apply(step: Step, values: Ids) -> Ids:
    if step.kind == "transpose":
        return values.swapaxes(-1, -2)
    index = [slice(None)] * values.ndim
    index[step.axis] = slice(step.start, step.stop, step.step)
    return values[tuple(index)]


@st.composite
def views(draw: st.DrawFn, unit: tuple[int, ...]) -> tuple[Step, ...]:
    shape, steps = unit, []
    for _ in range(draw(st.integers(0, 3)) if unit else 0):
        if len(shape) == 2 and draw(st.booleans()):
            steps.append(TRANSPOSE)
        else:
            axis = draw(st.sampled_from([-1, -2])) if len(shape) == 2 else -1
            start = draw(st.integers(0, shape[axis] - 1))
            stop = draw(st.integers(start + 1, shape[axis]))
            steps.append(take(start, stop, draw(st.integers(1, 3)), axis=axis))
        shape = steps[-1].shape_of((1, *shape))[1:]
    return tuple(steps)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    kind = draw(st.sampled_from(["stacked", "tensor", "groups"]))
    count = draw(st.integers(1, 5))
    dimensions = 2 if kind == "groups" else draw(st.integers(1 if kind == "stacked" else 0, 2))
    unit = tuple(draw(st.integers(1, 7)) for _ in range(dimensions))
    source = {"stacked": unit, "tensor": (count, *unit), "groups": (count * unit[0] if unit else 0, *unit[1:])}[
        kind
    ]
    first = draw(st.integers(0, count - 1))
    used = (first, draw(st.integers(first + 1, count))) if kind != "stacked" and draw(st.booleans()) else None
    move = Move(
        output="o", shape=(), role="expert", stacked=kind == "stacked", quantizable=True, units=used,
        sources=tuple(f"s{index}" for index in range(count if kind == "stacked" else 1)),
        groups=count if kind == "groups" else None, view=draw(views(unit)),
    )  # fmt: skip
    made = move.made_shape(source)
    flat = len(made) == 3 and draw(st.booleans())
    shape = (made[0] * made[1], made[2]) if flat else made
    ids = np.arange(count * math.prod(unit)).reshape(count, *unit)[slice(*(used or (0, count)))]
    return Example(replace(move, shape=shape), source, ids)


def taken(example: Example, part: Slice) -> Ids:
    """The ids that one slice reads, in the order of the parameter."""
    unit = example.units.shape[1:]
    area = region(example.move, unit, part.rows)
    matrices = example.units[part.start : part.stop].reshape(-1, *(1, 1, *unit)[-2:])
    read = matrices[:, area.rows][:, :, area.columns]
    return (read.swapaxes(-1, -2) if area.transpose else read).reshape(-1)


@FIXED
@given(example=examples(), limit=st.integers(1, 600), whole_units=st.booleans())
def test_slices_read_every_element_of_a_parameter_once_and_in_order(
    example: Example, limit: int, *, whole_units: bool
) -> None:
    expected = example.units
    for step in example.move.view:
        expected = apply(step, expected)
    sources = len(example.move.sources)
    nbytes = 2 * sources * math.prod(example.source)
    parts = list(slices_of(example.move, example.source, nbytes, limit, whole_units=whole_units))
    assert np.concatenate([taken(example, part) for part in parts]).tolist() == expected.reshape(-1).tolist()
    assert all(part.rows is None or (part.stop == part.start + 1 and not whole_units) for part in parts)


@FIXED
@given(example=examples(), limit=st.integers(1, 600))
def test_slices_stay_below_the_limit_unless_a_single_row_or_unit_is_larger(example: Example, limit: int) -> None:
    nbytes = 2 * len(example.move.sources) * math.prod(example.source)
    for part in slices_of(example.move, example.source, nbytes, limit):
        if part.stop - part.start > 1 or (part.rows is not None and part.rows[1] - part.rows[0] > 1):
            assert part.nbytes <= limit
