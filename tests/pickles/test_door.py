"""What torch reads, and what it must not: run where torch is installed, skipped elsewhere."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.errors import CorruptHeader, UnknownPacking, UnsafePickle
from hubbot.folders import Folder
from hubbot.pickles import door
from hubbot.pickles.outlines import END_BYTES, outline
from hubbot.pickles.staging import stage
from tests.checkpoints_on_disk import quietly, read_folder

torch: Any = pytest.importorskip("torch")


def weights() -> dict[str, Any]:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "plain": base,
        "tied": base,
        "turned": base.T,
        "part": base[1:3, ::2],
        "half": base.to(torch.bfloat16),
        "small": base.to(torch.float8_e4m3fn),
        "whole": torch.arange(5),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(1.5),
        "none": torch.zeros(0, 3),
        "trained": torch.nn.Parameter(torch.ones(2)),
    }


DTYPES = {
    "half": "BF16", "small": "F8_E4M3", "whole": "I64", "flags": "BOOL",
}  # fmt: skip


def saved(folder: Path, value: Any, **how: Any) -> Path:
    path = folder / "pytorch_model.bin"
    torch.save(value, path, **how)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saved_is_staged_bit_for_bit(tmp_path: Path, zipped: bool) -> None:
    # Before 1.6 there were no eight-bit floats.
    kept = {name: value for name, value in weights().items() if zipped or name != "small"}
    saved(tmp_path, kept, _use_new_zipfile_serialization=zipped)
    stage(tmp_path, ["pytorch_model.bin"], tmp_path / "out", shard_bytes=100, progress=quietly)
    stored = read_folder_bits(tmp_path / "out")
    for name, value in kept.items():
        expected = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        assert stored[name] == (DTYPES.get(name, "F32"), list(value.shape), expected)


def read_folder_bits(folder: Path) -> dict[str, tuple[str, list[int], bytes]]:
    import json  # noqa: PLC0415

    found = {}
    for path in folder.glob("*.safetensors"):
        data = path.read_bytes()
        base = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:base])
        header.pop("__metadata__")
        for name, entry in header.items():
            start, stop = entry["data_offsets"]
            found[name] = (entry["dtype"], entry["shape"], data[base + start : base + stop])
    return found


def test_shapes_are_known_from_a_few_small_reads(tmp_path: Path) -> None:
    big = {f"layer.{number}": torch.zeros(300, 400) for number in range(20)}
    path = saved(tmp_path, big)
    files = Folder(tmp_path)
    found = outline(files, path.name, path.stat().st_size)
    assert {name: info.shape for name, info in found.items()} == dict.fromkeys(big, (300, 400))
    assert {info.nbytes for info in found.values()} == {480_000}
    assert files.requests == 2
    assert files.bytes_read <= 2 * END_BYTES


def test_a_file_of_an_old_torch_is_outlined_in_whole(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": torch.ones(2, 3)}, _use_new_zipfile_serialization=False)
    assert outline(Folder(tmp_path), path.name, path.stat().st_size)["a"].shape == (2, 3)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    mark = tmp_path / "pwned"
    path = saved(tmp_path, {"a": Evil(mark)}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafePickle, match="system") as caught:
        door.load(path)
    with pytest.raises(UnsafePickle):
        outline(Folder(tmp_path), path.name, path.stat().st_size)
    assert caught.value.exit_code == 1
    assert caught.value.where == "pytorch_model.bin"
    assert not mark.exists()


@pytest.mark.parametrize("value", [[1, 2], {"model": {"a": 1}}, {"step": 3}, {1: "x"}])
def test_what_is_no_set_of_tensors_is_an_unknown_packing(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnknownPacking, match="tensor"):
        door.load(saved(tmp_path, value))


def test_what_safetensors_cannot_hold_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {"thin": torch.eye(3).to_sparse()})
    with pytest.raises(UnknownPacking, match="'thin' is stored as"):
        door.load(path)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-300], lambda data: b"", lambda data: b"PK\x03\x04" + b"x" * 99]
)
def test_a_damaged_file_is_corrupt_and_named(tmp_path: Path, damage: Any) -> None:
    path = saved(tmp_path, weights())
    path.write_bytes(damage(path.read_bytes()))
    for look in (lambda: door.load(path), lambda: outline(Folder(tmp_path), path.name, path.stat().st_size)):
        with pytest.raises(CorruptHeader) as caught:
            look()
        assert caught.value.where == "pytorch_model.bin"


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    from hubbot.errors import HubbotError  # noqa: PLC0415

    data = saved(tmp_path, {"a": torch.ones(3, 4), "b": torch.zeros(2)}).read_bytes()
    generator = np.random.default_rng(5)
    path = tmp_path / "pytorch_model.bin"
    for _ in range(400):
        spoiled = bytearray(data)
        for place in generator.integers(0, len(data), 3):
            spoiled[place] ^= int(generator.integers(1, 256))
        path.write_bytes(spoiled)
        try:
            outline(Folder(tmp_path), path.name, len(data))
        except HubbotError:
            continue


def test_a_whole_checkpoint_is_read_back_as_safetensors(tmp_path: Path) -> None:
    saved(tmp_path, {"a": torch.ones(3), "b": torch.zeros(2)})
    stage(tmp_path, ["pytorch_model.bin"], tmp_path / "out", shard_bytes=1 << 20, progress=quietly)
    assert {name: bits.tolist() for name, (_, bits) in read_folder(tmp_path / "out").items()} == {
        "a": [0x3F800000] * 3,
        "b": [0, 0],
    }
