from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hubbot.checkpoints import TensorInfo
from hubbot.device.reader import Shards, is_finite
from hubbot.errors import CorruptHeader
from hubbot.folders import Folder
from hubbot.plans import Move
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import BITS, Stored, read_folder, safetensors


def stored() -> Stored:
    generator = np.random.default_rng(5)

    def bits(dtype: str, *shape: int) -> tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.uint32]]]:
        return dtype, generator.integers(0, 1 << 16, shape).astype(BITS[dtype])

    held = {f"expert.{index}": bits("BF16", 6, 5) for index in range(7)}
    return {**held, "fused": bits("F16", 7, 12, 5), "matrix": bits("F32", 11, 3), "vector": bits("F32", 9)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(safetensors(stored()))
    return tmp_path


@pytest.fixture
def tensors(folder: Path) -> dict[str, TensorInfo]:
    return dict(inspect(Folder(folder)).tensors)


@pytest.fixture
def shards(folder: Path, tensors: dict[str, TensorInfo]) -> Iterator[Shards]:
    with Shards(folder, tensors) as opened:
        yield opened


def move(
    *sources: str, stacked: bool = False, transposed: bool = False, rows: tuple[int, int, int] | None = None
) -> Move:
    return Move(
        output="o", shape=(), role="expert", sources=sources, stacked=stacked, transposed=transposed, rows=rows,
        quantizable=True,
    )  # fmt: skip


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_slices_of_a_stack_are_whole_experts_in_order_with_a_ragged_last_one(shards: Shards, step: int) -> None:
    names = [f"expert.{index}" for index in range(7)]
    stack = move(*names, stacked=True)
    parts = [shards.read_move(stack, start, min(7, start + step)) for start in range(0, 7, step)]
    held = stored()
    assert np.array_equal(np.concatenate(parts), np.stack([held[name][1] for name in names]))


@pytest.mark.parametrize("step", [1, 4, 11])
@pytest.mark.parametrize("name", ["matrix", "vector", "fused"])
def test_slices_of_one_tensor_are_rows_of_its_first_axis(shards: Shards, name: str, step: int) -> None:
    whole = stored()[name][1]
    parts = [shards.read_move(move(name), s, min(len(whole), s + step)) for s in range(0, len(whole), step)]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rows", [(0, 6, 1), (6, 12, 1), (3, 5, 1)])
def test_of_a_fused_stack_only_the_wanted_rows_are_read(shards: Shards, rows: tuple[int, int, int]) -> None:
    whole = stored()["fused"][1]
    part = shards.read_move(move("fused", rows=rows), 2, 5)
    assert np.array_equal(part, whole[2:5, rows[0] : rows[1]])
    assert shards.bytes_read == part.nbytes


@pytest.mark.parametrize(
    "wanted",
    [move("fused", rows=(1, 12, 2)), move("fused", rows=(0, 6, 1), transposed=True)],
    ids=["step", "turned"],
)
def test_interleaved_or_transposed_rows_are_left_to_the_arithmetic(shards: Shards, wanted: Move) -> None:
    assert np.array_equal(shards.read_move(wanted, 1, 3), stored()["fused"][1][1:3])


def test_every_byte_of_a_fused_stack_is_read_once(shards: Shards) -> None:
    for rows in ((0, 6, 1), (6, 12, 1)):
        for start in range(0, 7, 2):
            shards.read_move(move("fused", rows=rows), start, min(7, start + 2))
    assert shards.bytes_read == stored()["fused"][1].nbytes


def test_a_truncated_shard_is_corrupt_and_the_tensor_is_named(
    folder: Path, tensors: dict[str, TensorInfo]
) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with (
        Shards(folder, tensors) as opened,
        pytest.raises(CorruptHeader, match="tensor 'vector' ends after 32 of 36 bytes") as caught,
    ):
        opened.read_move(move("vector"), 0, 9)
    assert caught.value.where == "model.safetensors"


def test_files_are_closed_afterwards(folder: Path, tensors: dict[str, TensorInfo]) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs a /proc that lists open files")
    before = len(list(descriptors.iterdir()))
    with Shards(folder, tensors) as opened:
        opened.read_move(move("vector"), 0, 1)
    assert len(list(descriptors.iterdir())) == before


def test_the_fixture_lies_on_disk_as_it_should(folder: Path) -> None:
    assert read_folder(folder).keys() == stored().keys()


@pytest.mark.parametrize(("dtype", "bits"), [("F32", 0x7F800000), ("F16", 0x7C00), ("BF16", 0x7F80)])
def test_nan_and_infinity_are_found_and_the_largest_numbers_are_not(dtype: str, bits: int) -> None:
    numbers = np.zeros(9, BITS[dtype])
    numbers[3] = bits - 1
    numbers[4] = (bits - 1) | 1 << (numbers.itemsize * 8 - 1)
    assert is_finite(numbers, dtype)
    for bad in (bits, bits | 1, bits | 1 << (numbers.itemsize * 8 - 1)):
        broken = numbers.copy()
        broken[8] = bad
        assert not is_finite(broken, dtype)
    assert is_finite(numbers[:0], dtype)
