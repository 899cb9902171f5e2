"""Safetensors files with numpy alone: BF16, for which numpy has no type, is held as its 16 bits in uint16.

Knows the file's header and the two widenings. Never knows what a tensor is for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Tensor: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

STORED: Final[dict[str, np.dtype[Any]]] = {"BF16": np.dtype("<u2"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
NAMES: Final[dict[np.dtype[Any], str]] = {held: name for name, held in STORED.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of one safetensors file, BF16 as uint16."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(content[start + begin : start + end], dtype=STORED[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file in the order of the names; the same tensors give the same bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in sorted(tensors.items()):
        end = offset + tensor.nbytes
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # "The header may be padded with spaces", so that the bytes of the tensors start at a multiple of 8.
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(tensor.tobytes() for _, tensor in sorted(tensors.items()))


def widen(bits: Tensor) -> Tensor:
    """BF16 bits to float32, exactly: bfloat16 is the upper half of a float32."""
    return (bits.astype("<u4") << 16).view("<f4")


def halve(bits: Tensor) -> Tensor:
    """BF16 bits to float16, rounded to nearest; raises OverflowError where float16 has no such number."""
    with np.errstate(over="ignore"):
        halved: Tensor = widen(bits).astype("<f2")
    if not np.isfinite(halved).all():
        raise OverflowError("a bfloat16 value is beyond float16")
    return halved
