import math
from itertools import pairwise

import numpy as np
import pytest

from hubbot.engine.slices import region, slices_of
from hubbot.moves import TRANSPOSE, Move, Step, take


def move(*shape: int, count: int = 1, view: tuple[Step, ...] = (), groups: int | None = None) -> Move:
    return Move(
        output="o", shape=shape, role="expert", sources=tuple(f"s{i}" for i in range(count)), stacked=count > 1,
        quantizable=True, view=view, groups=groups,
    )  # fmt: skip


@pytest.mark.parametrize("limit", [300, 1000, 1 << 30])
def test_slices_cover_the_first_axis_once_and_hold_about_the_limit(limit: int) -> None:
    parts = list(slices_of(move(11, 8, 16, count=11), (8, 16), 11 * 256, limit))
    assert (parts[0].start, parts[-1].stop) == (0, 11)
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert all(part.nbytes <= limit for part in parts)
    assert sum(part.nbytes for part in parts) == 11 * 8 * 16 * 2


@pytest.mark.parametrize("limit", [1, 40, 100])
def test_an_expert_larger_than_the_limit_is_cut_along_its_rows(limit: int) -> None:
    parts = list(slices_of(move(3, 8, 16, count=3), (8, 16), 3 * 256, limit))
    covered = [(part.start, row) for part in parts for row in range(*(part.rows or (0, 0)))]
    assert covered == [(expert, row) for expert in range(3) for row in range(8)]
    assert all(part.stop == part.start + 1 for part in parts)
    assert all(part.nbytes <= max(limit, 32) for part in parts)


def test_an_expert_with_one_scale_for_all_of_it_stays_whole() -> None:
    parts = list(slices_of(move(3, 8, 16, count=3), (8, 16), 3 * 256, 1, whole_units=True))
    assert [(part.start, part.stop, part.rows) for part in parts] == [(0, 1, None), (1, 2, None), (2, 3, None)]


def test_a_vector_that_gets_one_constant_stays_whole() -> None:
    (part,) = slices_of(move(64, view=(Step(kind="shift"),)), (64,), 256, 1)
    assert (part.start, part.stop) == (0, 64)


def test_half_of_a_fused_tensor_counts_half_its_bytes() -> None:
    (part,) = slices_of(move(4, 8, 16, view=(take(0, 8),)), (4, 16, 16), 4 * 16 * 16 * 2, 1 << 30)
    assert part.nbytes == 4 * 8 * 16 * 2


def test_a_slice_names_the_source_that_it_begins_with() -> None:
    parts = list(slices_of(move(4, 8, 16, count=4), (8, 16), 4 * 256, 256))
    assert [part.source for part in parts] == ["s0", "s1", "s2", "s3"]
    assert [part.source for part in slices_of(move(3, 16), (3, 16), 96, 1)] == ["s0"] * 3


VIEWS = {
    "as it is": (),
    "first half": (take(0, 6),),
    "second half": (take(6, 12),),
    "every other row": (take(1, 12, 2),),
    "transposed": (TRANSPOSE,),
    "transposed, then half": (TRANSPOSE, take(5, 10)),
    "transposed, then every other": (TRANSPOSE, take(0, 10, 2)),
    "rows, then transposed": (take(2, 7), TRANSPOSE),
    "columns": (take(1, 9, 2, axis=-1),),
    "twice": (take(2, 12), TRANSPOSE, take(1, 8), take(0, 10, 3, axis=-1)),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("rows", [None, (1, 3)])
def test_a_region_is_what_numpy_makes_of_the_view(view: tuple[Step, ...], rows: tuple[int, int] | None) -> None:
    unit = np.arange(12 * 10).reshape(12, 10)
    expected = unit
    for step in view:
        if step.kind == "transpose":
            expected = expected.T
        elif step.axis == -1:
            expected = expected[:, step.start : step.stop : step.step]
        else:
            expected = expected[step.start : step.stop : step.step]
    expected = expected[slice(*rows)] if rows else expected
    area = region(move(1, *expected.shape, view=view), (12, 10), rows)
    found = unit[np.ix_(list(area.rows), list(area.columns))]
    assert np.array_equal(found.T if area.transpose else found, expected)


def test_heads_are_units_of_the_first_axis() -> None:
    made = move(4, 5, 3, view=(take(0, 3), TRANSPOSE), groups=4)
    assert made.unit_shape((28, 5)) == (4, (7, 5))
    assert made.made_shape((28, 5)) == (4, 5, 3)
    assert sum(part.nbytes for part in slices_of(made, (28, 5), 28 * 5 * 2, 1 << 30)) == math.prod((4, 5, 3)) * 2
