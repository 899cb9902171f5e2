from itertools import pairwise

import pytest

from hubbot.checkpoints import TensorInfo
from hubbot.device.conveyor import slices_of
from hubbot.plans import Move


def tensors(*shape: int, count: int = 1) -> dict[str, TensorInfo]:
    size = 2
    for length in shape:
        size *= length
    return {
        f"s{i}": TensorInfo(name=f"s{i}", dtype="BF16", shape=shape, shard="m", start=0, end=size)
        for i in range(count)
    }


def move(*shape: int, count: int = 1, rows: tuple[int, int, int] | None = None) -> Move:
    return Move(
        output="o", shape=shape, role="expert", sources=tuple(f"s{i}" for i in range(count)), stacked=count > 1,
        transposed=False, rows=rows, quantizable=True,
    )  # fmt: skip


@pytest.mark.parametrize("limit", [1, 100, 1000, 1 << 30])
def test_slices_cover_the_first_axis_once_and_hold_about_the_limit(limit: int) -> None:
    parts = list(slices_of(move(11, 8, 16, count=11), tensors(8, 16, count=11), limit))
    assert (parts[0].start, parts[-1].stop) == (0, 11)
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert all(part.nbytes <= limit or part.stop - part.start == 1 for part in parts)
    assert sum(part.nbytes for part in parts) == 11 * 8 * 16 * 2


def test_half_of_a_fused_tensor_counts_half_its_bytes() -> None:
    (part,) = slices_of(move(4, 8, 16, rows=(0, 8, 1)), tensors(4, 16, 16), 1 << 30)
    assert part.nbytes == 4 * 8 * 16 * 2


def test_a_slice_names_the_source_that_it_begins_with() -> None:
    parts = list(slices_of(move(4, 8, 16, count=4), tensors(8, 16, count=4), 1))
    assert [part.source for part in parts] == ["s0", "s1", "s2", "s3"]
    assert [part.source for part in slices_of(move(3, 16), tensors(3, 16), 1)] == ["s0"] * 3
