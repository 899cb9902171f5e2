import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors import safe_open

from hubbot.engine.journal import Journal
from hubbot.engine.writer import Stored, WeightWriter

TENSORS: tuple[Stored, ...] = (
    ("b.weight", "U32", (4, 2, 3)),
    ("a.weight", "BF16", (5, 3)),
    ("a.norm", "F32", (7,)),
    ("empty", "F32", (0, 4)),
    ("scale", "U8", (3, 3)),
)
SIZES = {"U32": 4, "BF16": 2, "F32": 4, "U8": 1}
TYPES = {"U32": np.uint32, "BF16": np.uint16, "F32": np.float32, "U8": np.uint8}


def raw(array: Any) -> memoryview:
    return memoryview(array).cast("B")


def values() -> dict[str, np.ndarray[Any, Any]]:
    return {
        name: np.arange(int(np.prod(shape))).reshape(shape).astype(TYPES[dtype]) for name, dtype, shape in TENSORS
    }


def write(folder: Path, shard_bytes: int, *, identity: str = "plan", rows: int = 1) -> dict[str, object]:
    journal = Journal(folder, identity)
    with WeightWriter(folder, TENSORS, shard_bytes=shard_bytes, journal=journal) as writer:
        for name, array in reversed(values().items()):
            for start in reversed(range(0, len(array), rows)):
                part = np.ascontiguousarray(array[start : start + rows])
                writer.write(name, start, raw(part))
    journal.close()
    return writer.index()


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_bytes_written_in_any_order_and_slices_are_what_safetensors_reads(tmp_path: Path, rows: int) -> None:
    write(tmp_path, 1 << 20, rows=rows)
    expected = values()
    with safe_open(tmp_path / "model.safetensors", framework="mlx") as file:
        assert set(file.keys()) == set(expected)
        assert file.metadata() == {"format": "mlx"}
    loaded = mx.load(str(tmp_path / "model.safetensors"))
    assert isinstance(loaded, dict)
    for name, dtype, shape in TENSORS:
        array = loaded[name]
        assert tuple(array.shape) == shape
        found = np.array(array.view(mx.uint16) if dtype == "BF16" else array)
        assert np.array_equal(found, expected[name])


def test_a_header_is_padded_so_that_the_data_are_aligned(tmp_path: Path) -> None:
    write(tmp_path, 1 << 20)
    data = (tmp_path / "model.safetensors").read_bytes()
    assert int.from_bytes(data[:8], "little") % 8 == 0
    total = sum(SIZES[dtype] * int(np.prod(shape)) for _, dtype, shape in TENSORS)
    assert len(data) == 8 + int.from_bytes(data[:8], "little") + total


def test_shards_hold_at_most_the_limit_unless_one_tensor_is_larger_and_the_index_maps_each_tensor(
    tmp_path: Path,
) -> None:
    index = write(tmp_path, 60)
    weight_map = index["weight_map"]
    assert isinstance(weight_map, dict)
    assert sorted(weight_map) == sorted(values())
    for name in set(weight_map.values()):
        data = (tmp_path / name).read_bytes()
        base = 8 + int.from_bytes(data[:8], "little")
        entries = json.loads(data[8:base])
        entries.pop("__metadata__")
        assert {tensor for tensor, file in weight_map.items() if file == name} == set(entries)
        assert len(data) - base <= 60 or len(entries) == 1
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"model-{i:05d}-of-{len(files):05d}.safetensors" for i in range(1, len(files) + 1)]
    assert index["metadata"] == {"total_size": 96 + 30 + 28 + 9}


def test_bytes_that_were_never_written_are_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "plan")
    with (
        pytest.raises(AssertionError, match="bytes never written"),
        WeightWriter(tmp_path, TENSORS, shard_bytes=1 << 20, journal=journal) as writer,
    ):
        writer.write("a.norm", 0, raw(values()["a.norm"]))


def test_writing_past_a_tensors_end_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "plan")
    with (
        pytest.raises(AssertionError, match="past its end"),
        WeightWriter(tmp_path, TENSORS, shard_bytes=1 << 20, journal=journal) as writer,
    ):
        writer.write("a.norm", 1, raw(values()["a.norm"]))
