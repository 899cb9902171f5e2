"""The referee's own reader: safetensors folders as float32 or raw bits, through numpy alone.

It shares no code with the converter's reader; only the header rules of the format are common ground.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checkpoints import TensorInfo
from hubbot.checks.readers.reused_memory import ReusedMemory
from hubbot.files.uncached import UncachedReader
from hubbot.headers import LENGTH_BYTES, header_length, parse_header

Floats = npt.NDArray[np.float32]
FLOATS = frozenset({"F32", "F16", "BF16"})
_NUMPY: Mapping[str, Any] = {
    "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "U32": np.uint32, "U8": np.uint8, "I8": np.int8,
    "I32": np.int32, "I64": np.int64, "F8_E4M3": np.uint8, "F8_E8M0": np.uint8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers as they are stored: `raw` [...] with its `dtype`; bfloat16 as uint16."""

    raw: npt.NDArray[Any]
    dtype: str

    def floats(self) -> Floats:
        """Return them as float32 [...], as `widen` does."""
        return widen(self.raw, self.dtype)


class TensorFiles:
    """The tensors of the named safetensors files of one folder, by name.

    `elsewhere` describes tensors of files that may not be here: their names count, their numbers cannot be read.
    """

    def __init__(
        self, folder: Path, shards: tuple[str, ...], elsewhere: Mapping[str, TensorInfo] | None = None
    ) -> None:
        self._folder = folder
        self.tensors: dict[str, TensorInfo] = {}
        self.doubled: list[str] = []
        for shard in shards:
            if elsewhere is not None and not (folder / shard).exists():
                self.tensors.update({n: tensor for n, tensor in elsewhere.items() if tensor.shard == shard})
                continue
            for name, tensor in _header(folder / shard, shard).items():
                if name in self.tensors:
                    self.doubled.append(name)
                self.tensors[name] = tensor

    def raw(self, name: str, start: int, stop: int, memory: ReusedMemory | None = None) -> npt.NDArray[Any]:
        """Return steps [start, stop) of the first axis as stored, [stop - start, ...]; bfloat16 as uint16.

        They lie in `memory` where it is given, and are gone when it is used again.
        """
        info = self.tensors[name]
        lead, *tail = info.shape or (1,)
        dtype = np.dtype(_NUMPY[info.dtype])
        width = int(np.prod(tail, dtype=np.int64))
        stop = min(stop, lead)
        size, offset = (stop - start) * width, info.start + start * width * dtype.itemsize
        values = np.empty(size, dtype) if memory is None else memory.array(size, dtype)
        # Not kept open: a large checkpoint has more files than a process may have open.
        with UncachedReader(self._folder / info.shard) as file:
            count = file.fill(values.view(np.uint8).data, offset)
        return values[: count // dtype.itemsize].reshape(stop - start, *tail)

    def floats(self, name: str, start: int, stop: int) -> Floats:
        """Return steps [start, stop) of a float tensor's first axis, float32 [stop - start, ...], exactly."""
        return widen(self.raw(name, start, stop), self.tensors[name].dtype)


def widen(raw: npt.NDArray[Any], dtype: str) -> Floats:
    """Return raw values [...] of `dtype` as float32 [...], exactly: 16-bit floats, and integers below 2^24."""
    if dtype == "BF16":
        wide: npt.NDArray[np.uint32] = np.left_shift(raw, np.uint32(16), dtype=np.uint32)
        return wide.view(np.float32)
    return raw.astype(np.float32)


def narrow(values: Floats, dtype: str) -> npt.NDArray[Any]:
    """Return float32 values [...] rounded to nearest even in `dtype`, as its raw bits [...]."""
    if dtype == "F32":
        return values.view(np.uint32)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits = values.view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype(np.uint16)


def bits(raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return raw stored floats [...] as unsigned integers [...] of the same width."""
    return raw.view(np.dtype(f"u{raw.dtype.itemsize}"))


def _header(path: Path, shard: str) -> dict[str, TensorInfo]:
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
        length = header_length(first, file_size=size, shard=shard)
        return parse_header(file.read(length), file_size=size, shard=shard)
