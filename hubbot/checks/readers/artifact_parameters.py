"""An artifact's config, and its stored tensors grouped into parameters, with the encoding their shapes prove."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hubbot.checks.readers.reused_memory import ReusedMemory
from hubbot.checks.readers.tensor_files import TensorFiles
from hubbot.errors import CorruptConfig, StructureMismatch
from hubbot.finishing import CONFIG
from hubbot.runtime import loading

# (bits, group size) -> mode, where scales are one byte; each mode allows exactly one pair (mlx-lm, utils.py).
_BYTE_MODES = {(4, 16): "nvfp4", (4, 32): "mxfp4", (8, 32): "mxfp8"}


def read_config(folder: Path) -> dict[str, Any]:
    """Return the artifact's config.json, or raise CorruptConfig."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptConfig(f"config.json cannot be read: {error}", where=str(folder)) from error
    if not isinstance(config, dict):
        raise CorruptConfig("config.json is not a JSON object", where=str(folder))
    return config


def shapes_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the logical shape of every parameter of the model that `config` describes, by name.

    Raises NoRuntime or ConfigUnresolved where mlx-lm builds no such model.
    """
    return {parameter.name: parameter.shape for parameter in loading.skeleton(config)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredParameter:
    """One parameter as stored; `mode` is "none" for a plain tensor. `shape` is logical."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    mode: str
    bits: int
    group_size: int
    parts: tuple[str, ...]

    @property
    def module(self) -> str:
        """Return the module's path as config.json's quantization block names it."""
        return self.name.removesuffix(".weight")


class StoredParameters:
    """All parameters of one artifact folder, by the runtime's names; `files` are its weights where known."""

    def __init__(
        self, folder: Path, shapes: Mapping[str, tuple[int, ...]], files: TensorFiles | None = None
    ) -> None:
        shards = tuple(sorted(path.name for path in folder.glob("model*.safetensors")))
        self.files = files or TensorFiles(folder, shards)
        self.by_name: dict[str, StoredParameter] = {}
        claimed: set[str] = set()
        for name, shape in shapes.items():
            if name in self.files.tensors:
                parameter = self._read(name, shape)
                self.by_name[name] = parameter
                claimed |= {_part(name, part) for part in parameter.parts}
        self.unclaimed = sorted(set(self.files.tensors) - claimed)

    def parts(
        self, parameter: StoredParameter, start: int, stop: int, memory: ReusedMemory | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the stored parts by name, each [stop - start, ...]: words uint32, 16-bit floats as uint16.

        They lie in `memory` where it is given.
        """
        return {part: self.files.raw(_part(parameter.name, part), start, stop, memory) for part in parameter.parts}

    def stored_names(self, name: str) -> tuple[str, ...]:
        """Return the stored tensors of a parameter."""
        return tuple(_part(name, part) for part in self.by_name[name].parts)

    def _read(self, name: str, shape: tuple[int, ...]) -> StoredParameter:
        info = self.files.tensors[name]
        scales = self.files.tensors.get(_part(name, "scales"))
        if scales is None:
            return StoredParameter(
                name=name, shape=info.shape, dtype=info.dtype, mode="none", bits=0, group_size=0, parts=("weight",)
            )
        if not shape or not scales.shape or shape[-1] == 0 or scales.shape[-1] == 0:
            raise StructureMismatch("a quantized tensor without columns", where=name)
        bits, group_size = info.shape[-1] * 32 // shape[-1], shape[-1] // scales.shape[-1]
        mode = _BYTE_MODES.get((bits, group_size), "unknown") if scales.dtype == "U8" else "affine"
        parts = ["weight", "scales"]
        parts += [part for part in ("biases", "global_scale") if _part(name, part) in self.files.tensors]
        return StoredParameter(
            name=name,
            shape=(*info.shape[:-1], shape[-1]),
            dtype=scales.dtype,
            mode=mode,
            bits=bits,
            group_size=group_size,
            parts=tuple(parts),
        )


def _part(name: str, part: str) -> str:
    return name if part == "weight" else f"{name.removesuffix('.weight')}.{part}"
