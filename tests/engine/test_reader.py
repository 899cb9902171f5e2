from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.checkpoints import TensorInfo
from hubbot.engine.reader import Shards, Sources
from hubbot.engine.slices import Slice
from hubbot.errors import CorruptHeader
from hubbot.folders import Folder
from hubbot.moves import TRANSPOSE, Move, Step, take
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
    with Shards(folder, Sources(tensors=tensors, packed={})) as opened:
        yield opened


def move(*sources: str, stacked: bool = False, view: tuple[Step, ...] = (), groups: int | None = None) -> Move:
    return Move(
        output="o", shape=(), role="expert", sources=sources, stacked=stacked, quantizable=True, view=view,
        groups=groups,
    )  # fmt: skip


def read(shards: Shards, wanted: Move, start: int, stop: int, rows: tuple[int, int] | None = None) -> Any:
    found, _ = shards.read(Slice(move=wanted, start=start, stop=stop, nbytes=0, rows=rows))
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_slices_of_a_stack_are_whole_experts_in_order_with_a_ragged_last_one(shards: Shards, step: int) -> None:
    names = [f"expert.{index}" for index in range(7)]
    stack = move(*names, stacked=True)
    parts = [read(shards, stack, start, min(7, start + step)) for start in range(0, 7, step)]
    held = stored()
    assert np.array_equal(np.concatenate(parts), np.stack([held[name][1] for name in names]))


@pytest.mark.parametrize("step", [1, 4, 11])
@pytest.mark.parametrize("name", ["matrix", "vector", "fused"])
def test_slices_of_one_tensor_are_rows_of_its_first_axis(shards: Shards, name: str, step: int) -> None:
    whole = stored()[name][1]
    parts = [read(shards, move(name), s, min(len(whole), s + step)) for s in range(0, len(whole), step)]
    assert np.array_equal(np.concatenate(parts), whole)


REGIONS = {
    "first rows": ((take(0, 6),), np.s_[:, 0:6, :]),
    "last rows": ((take(6, 12),), np.s_[:, 6:12, :]),
    "middle rows": ((take(3, 5),), np.s_[:, 3:5, :]),
    "every other row": ((take(1, 12, 2),), np.s_[:, 1:12:2, :]),
    "columns": ((TRANSPOSE, take(1, 4)), np.s_[:, :, 1:4]),
}


@pytest.mark.parametrize(("view", "area"), REGIONS.values(), ids=REGIONS.keys())
def test_only_the_wanted_rows_and_columns_are_read(shards: Shards, view: tuple[Step, ...], area: Any) -> None:
    part = read(shards, move("fused", view=view), 2, 5)
    assert np.array_equal(part, stored()["fused"][1][2:5][area])
    assert shards.bytes_read == part.nbytes


@pytest.mark.parametrize("view", [(), (take(6, 12),), (take(0, 12, 2),)])
def test_rows_of_one_expert_are_read_alone(shards: Shards, view: tuple[Step, ...]) -> None:
    whole = stored()["fused"][1][3]
    for step in view:
        whole = whole[step.start : step.stop : step.step]
    part = read(shards, move("fused", view=view), 3, 4, rows=(2, 5))
    assert np.array_equal(part[0], whole[2:5])
    assert shards.bytes_read == part.nbytes


def test_columns_that_are_not_neighbours_are_picked_from_whole_rows(shards: Shards) -> None:
    part = read(shards, move("fused", view=(take(0, 5, 2, axis=-1),)), 1, 3)
    assert np.array_equal(part, stored()["fused"][1][1:3, :, 0:5:2])


def test_every_byte_of_a_fused_stack_is_read_once(shards: Shards) -> None:
    for view in ((take(0, 12, 2),), (take(1, 12, 2),)):
        for start in range(0, 7, 2):
            read(shards, move("fused", view=view), start, min(7, start + 2))
    assert shards.bytes_read == stored()["fused"][1].nbytes


def test_groups_are_units_of_neighbouring_rows(shards: Shards) -> None:
    whole = stored()["fused"][1].reshape(84, 5)
    part = read(shards, move("fused", groups=7), 2, 4)
    assert np.array_equal(part.reshape(-1, 5), whole[24:48])


def test_a_truncated_shard_is_corrupt_and_the_tensor_is_named(
    folder: Path, tensors: dict[str, TensorInfo]
) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with (
        Shards(folder, Sources(tensors=tensors, packed={})) as opened,
        pytest.raises(CorruptHeader, match="tensor 'vector' ends 4 bytes early") as caught,
    ):
        read(opened, move("vector"), 0, 9)
    assert caught.value.where == "model.safetensors"


def test_files_are_closed_afterwards(folder: Path, tensors: dict[str, TensorInfo]) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs a /proc that lists open files")
    before = len(list(descriptors.iterdir()))
    with Shards(folder, Sources(tensors=tensors, packed={})) as opened:
        read(opened, move("vector"), 0, 1)
        opened.release("model.safetensors")
        assert len(list(descriptors.iterdir())) == before
        read(opened, move("vector"), 0, 1)
    assert len(list(descriptors.iterdir())) == before


def test_the_fixture_lies_on_disk_as_it_should(folder: Path) -> None:
    assert read_folder(folder).keys() == stored().keys()
