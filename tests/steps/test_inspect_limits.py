"""What looking costs: a 700 GB repo of 100 shards is known after two reads a shard, three more, and 32 MB."""

import json
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from threading import Lock

import pytest

from hubbot.checkpoints import Checkpoint, FileInfo, Repo
from hubbot.folders import Folder
from hubbot.steps.inspect import FIRST_READ, LARGEST_FIRST_READ, inspect

SHARDS = 100
SHARD_BYTES = 7_000_000_000
CONFIG = json.dumps({"model_type": "qwen3_moe", "num_experts": 128}).encode()
CARD = b"---\nlicense: apache-2.0\n---\n"


def names(layers: int, experts: int) -> list[str]:
    """The tensor names of a published model of that size, as its own index lists them."""
    found = ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"]
    for layer in range(layers):
        home = f"model.layers.{layer}"
        found += [f"{home}.self_attn.{part}_proj.weight" for part in "qkvo"]
        found += [f"{home}.{part}.weight" for part in ("input_layernorm", "post_attention_layernorm", "mlp.gate")]
        found += [
            f"{home}.mlp.experts.{expert}.{part}_proj.weight"
            for expert in range(experts)
            for part in ("gate", "up", "down")
        ]
    return found


def header(tensors: list[str], nbytes: int) -> bytes:
    """A header over `nbytes` of bf16 matrices, with offsets as long as real ones."""
    each = nbytes // len(tensors) // 4096 * 4096
    ends = [*accumulate([each] * (len(tensors) - 1)), nbytes]
    entries = {
        name: {"dtype": "BF16", "shape": [(stop - start) // 2], "data_offsets": [start, stop]}
        for name, start, stop in zip(tensors, [0, *ends], ends, strict=False)
    }
    text = json.dumps({"__metadata__": {"format": "pt"}} | entries, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text


def checkpoint_files(layers: int, experts: int) -> dict[str, bytes]:
    """Every file's beginning: what is beyond are weights, which nobody may read."""
    every = names(layers, experts)
    size = -(-len(every) // SHARDS)
    groups = [every[start : start + size] for start in range(0, len(every), size)]
    shards = {f"model-{n:05d}-of-{len(groups):05d}.safetensors": group for n, group in enumerate(groups, start=1)}
    weight_map = {name: shard for shard, group in shards.items() for name in group}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    found = {shard: header(group, SHARD_BYTES) for shard, group in shards.items()}
    rest = {
        "config.json": CONFIG,
        "README.md": CARD,
        "model.safetensors.index.json": json.dumps(index, indent=2).encode(),
    }
    return found | rest


class Counted:
    """A repo on some hub: every read is a request; opening it was one."""

    gated = private = False
    links: Mapping[str, str] = {}
    repo = Repo(id="a/b", revision="0" * 40)

    def __init__(self, held: Mapping[str, bytes]) -> None:
        self._held = held
        self._lock = Lock()
        self.requests = 1
        self.bytes_read = 0
        self.by_file: dict[str, int] = {}
        self.files = tuple(
            FileInfo(path=path, size=len(data) + SHARD_BYTES * path.endswith(".safetensors"))
            for path, data in held.items()
        )

    def read(self, path: str, start: int, stop: int) -> bytes:
        data = self._held[path][start:stop]
        data += b"\0" * (stop - start - len(data))
        with self._lock:
            self.requests += 1
            self.bytes_read += len(data)
            self.by_file[path] = self.by_file.get(path, 0) + 1
        return data


@pytest.mark.parametrize(
    ("layers", "experts"), [(94, 128), (60, 384), (61, 256)], ids=["36k tensors", "69k tensors", "47k tensors"]
)
def test_a_hundred_shards_are_known_after_one_read_each(layers: int, experts: int) -> None:
    files = Counted(checkpoint_files(layers, experts))
    found = inspect(files)
    shards = len(found.shards)
    assert len(found.tensors) == len(names(layers, experts))
    assert found.weight_bytes == shards * SHARD_BYTES
    assert files.requests <= 2 * shards + 3
    assert max(count for path, count in files.by_file.items() if path.endswith(".safetensors")) == 1
    assert files.bytes_read < 32_000_000


def test_a_header_that_no_index_announces_takes_a_second_read() -> None:
    held = {"config.json": CONFIG, "model.safetensors": header(names(30, 40), SHARD_BYTES)}
    assert len(held["model.safetensors"]) > FIRST_READ
    files = Counted(held)
    inspect(files)
    assert files.by_file["model.safetensors"] == 2
    assert files.requests <= 2 + 3


def test_an_index_that_exaggerates_makes_nobody_read_much() -> None:
    held = checkpoint_files(2, 4)
    index = json.loads(held["model.safetensors.index.json"])
    first = next(iter(index["weight_map"].values()))
    index["weight_map"] |= {f"ghost.{number}": first for number in range(100_000)}
    held["model.safetensors.index.json"] = json.dumps(index).encode()
    files = Counted(held)
    with pytest.raises(Exception, match="ghost"):
        inspect(files)
    assert files.bytes_read < len(held["model.safetensors.index.json"]) + LARGEST_FIRST_READ + 100 * FIRST_READ


def test_a_local_folder_of_that_size_costs_no_more(tmp_path: Path) -> None:
    held = checkpoint_files(94, 128)
    for path, data in held.items():
        with (tmp_path / path).open("wb") as file:
            file.write(data)
            if path.endswith(".safetensors"):
                file.truncate(len(data) + SHARD_BYTES)  # holes: nothing is stored
    read = ReadBytes()
    found = read.during(lambda: inspect(Folder(tmp_path)))
    assert len(found.shards) == SHARDS
    assert found.requests <= 2 * SHARDS + 3
    assert found.bytes_read < 32_000_000
    if read.total is not None:
        assert read.total < 40_000_000


class ReadBytes:
    """What this process has the system read for it, where the system tells (Linux)."""

    total: int | None = None

    def during(self, work: Callable[[], Checkpoint]) -> Checkpoint:
        before = self._now()
        found = work()
        after = self._now()
        self.total = None if before is None or after is None else after - before
        return found

    @staticmethod
    def _now() -> int | None:
        told = Path("/proc/self/io")
        return int(told.read_text().split("rchar:")[1].split()[0]) if told.exists() else None
