"""Staging without torch: what is written, compared, refused and resumed, from tensors that a stand-in loads."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.errors import CorruptHeader, ValueMismatch
from hubbot.pickles.door import PickledTensor
from hubbot.pickles.staging import stage
from tests.checkpoints_on_disk import quietly, read_folder

KINDS = {"F32": np.float32, "BF16": np.uint16, "I64": np.int64}


class Held:
    """An array that answers to what PickledTensor asks of torch's."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, part: slice) -> "Held":
        return Held(self.array[part])

    def reshape(self, *shape: int) -> "Held":
        return Held(self.array.reshape(shape))

    def contiguous(self) -> "Held":
        return Held(np.ascontiguousarray(self.array))

    def numel(self) -> int:
        return int(self.array.size)

    def view(self, _dtype: Any) -> "Held":
        return Held(self.array.view(np.uint8))

    def numpy(self) -> Any:
        return self.array


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch:
        uint8 = np.uint8

    monkeypatch.setattr("hubbot.pickles.door._torch", lambda: Torch)


def tensor(name: str, dtype: str, array: Any) -> PickledTensor:
    return PickledTensor(name=name, dtype=dtype, shape=array.shape, value=Held(array))


FILES: dict[str, dict[str, tuple[str, Any]]] = {
    "a.bin": {
        "turned": ("F32", np.arange(12, dtype=np.float32).reshape(3, 4).T),
        "tied": ("BF16", np.arange(6, dtype=np.uint16).reshape(2, 3)),
        "scalar": ("F32", np.array(2.5, np.float32)),
    },
    "b.bin": {"ids": ("I64", np.arange(5)), "none": ("F32", np.zeros((0, 3), np.float32))},
}


def load(path: Path) -> Mapping[str, PickledTensor]:
    return {name: tensor(name, *value) for name, value in FILES[path.name].items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("shard_bytes", [1, 1 << 20])
def test_every_tensor_is_written_as_it_is(source: Path, tmp_path: Path, shard_bytes: int) -> None:
    out = tmp_path / "out"
    found = stage(source, [*FILES], out, shard_bytes=shard_bytes, progress=quietly, load=load)
    stored = read_folder(out)
    expected = {name: value for file in FILES.values() for name, value in file.items()}
    assert set(found) == set(stored) == set(expected)
    for name, (dtype, array) in expected.items():
        assert (stored[name][0], found[name].shape) == (dtype, array.shape)
        assert stored[name][1].tobytes() == np.ascontiguousarray(array).tobytes()
    assert (out / "model.safetensors.index.json").is_file()
    assert not list(out.glob(".*"))


def test_a_tensor_in_two_files_is_corrupt(source: Path, tmp_path: Path) -> None:
    def twice(_path: Path) -> Mapping[str, PickledTensor]:
        return load(source / "a.bin")

    with pytest.raises(CorruptHeader, match=r"'turned' stands in two files, a\.bin and b\.bin"):
        stage(source, [*FILES], tmp_path / "out", shard_bytes=100, progress=quietly, load=twice)


def test_a_tensor_that_reads_back_otherwise_is_named(source: Path, tmp_path: Path) -> None:
    calls: Iterator[int] = iter(range(100))

    def changing(path: Path) -> Mapping[str, PickledTensor]:
        found = dict(load(path))
        if next(calls) == 2:  # to be compared with what was written
            found["tied"] = replace(found["tied"], value=Held(FILES["a.bin"]["tied"][1] + 1))
        return found

    with pytest.raises(ValueMismatch, match="'tied' reads back otherwise"):
        stage(source, ["a.bin"], tmp_path / "out", shard_bytes=1 << 20, progress=quietly, load=changing)


def test_what_was_complete_is_not_written_again(source: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def killed(done: int, _total: int, what: str) -> None:
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.append(what)

    with pytest.raises(KeyboardInterrupt):
        stage(source, [*FILES], tmp_path / "out", shard_bytes=1, progress=killed, load=load)
    stage(source, [*FILES], tmp_path / "out", shard_bytes=1, progress=quietly, load=load)
    assert set(read_folder(tmp_path / "out")) == {"turned", "tied", "scalar", "ids", "none"}
