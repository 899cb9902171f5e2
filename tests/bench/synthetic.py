"""Synthetic checkpoints: gigabytes of plausible weights of a given shape in seconds."""

import json
import math
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hubbot.checkpoints import stored_bytes
from hubbot.devhub.demo_repos import DEMO_MODELS, SIDE_FILES
from tests.bench.shapes import Tensor

SHARD_BYTES = 2_000_000_000
BLOCK = 1 << 24
SCALE = 0.02
Bits = npt.NDArray[Any]


def write(folder: Path, config: dict[str, Any], tensors: Iterable[Tensor]) -> int:
    """Write the checkpoint unless it is there, and return the bytes of its tensors."""
    mark = folder / "complete"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        for name in SIDE_FILES:
            shutil.copyfile(DEMO_MODELS / "fox" / name, folder / name)
        mark.write_text(str(_write_shards(folder, list(tensors))), encoding="utf-8")
    return int(mark.read_text(encoding="utf-8"))


def _write_shards(folder: Path, tensors: list[Tensor]) -> int:
    groups: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        nbytes = _nbytes(tensor)
        if size + nbytes > SHARD_BYTES and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += nbytes
    noise = _noise()
    weight_map = {}
    for number, group in enumerate(groups, start=1):
        name = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        _write_shard(folder / name, group, noise)
        weight_map.update({tensor: name for tensor, _, _ in group})
    total = sum(_nbytes(tensor) for tensor in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total


def _write_shard(path: Path, group: list[Tensor], noise: dict[str, Bits]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for tensor in group:
        name, shape, dtype = tensor
        end = position + _nbytes(tensor)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the format's own writer does
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape, dtype in group:
            _write_values(file, name, math.prod(shape), noise[dtype])


def _write_values(file: BinaryIO, name: str, count: int, noise: Bits) -> None:
    if "norm" in name:
        file.write(np.full(count, 0x3F80, np.uint16).tobytes())  # 1.0 in bfloat16
        return
    # Every tensor starts at another place of the same noise, so that no two experts are alike.
    start = zlib.crc32(name.encode()) % BLOCK
    while count:
        piece = noise[start : start + count]
        file.write(piece.tobytes())
        count -= len(piece)
        start = 0


def _noise() -> dict[str, Bits]:
    """Return a block of random elements for each dtype, by its name."""
    generator = np.random.default_rng(30)
    values = generator.standard_normal(BLOCK).astype(np.float32) * np.float32(SCALE)
    codes = generator.integers(0, 256, BLOCK, np.uint8)
    codes[(codes & 0x7F) == 0x7F] = 0  # no NaN
    scales = generator.uniform(0.5, 1.5, BLOCK).astype(np.float32) * np.float32(SCALE / 100)
    return {"BF16": (values.view(np.uint32) >> 16).astype(np.uint16), "F8_E4M3": codes, "F32": scales}


def _nbytes(tensor: Tensor) -> int:
    return stored_bytes(tensor[2], tensor[1])
