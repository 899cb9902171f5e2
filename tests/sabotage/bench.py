"""An artifact on the bench, taken apart, and what a sabotage of it is; it knows no particular mutation."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from tests.checkpoints_on_disk import Stored, from_mlx, read_folder, rewrite, to_mlx

PARTS = ("weight", "scales", "biases", "global_scale")
PROJECTIONS = ("gate", "up", "down")
SQUARE = "qwen3_moe/square/hub"


@dataclass(slots=True)
class Broken:
    """An artifact on the bench: its folder, its tensors by name, its config."""

    folder: Path
    tensors: Stored
    config: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> "Broken":
        return cls(folder, read_folder(folder), read_config(folder))

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    def module(self, path: str) -> list[str]:
        return [f"{path}.{part}" for part in PARTS if f"{path}.{part}" in self.tensors]

    def experts(self, layer: int, projection: str) -> list[str]:
        return self.module(f"model.layers.{layer}.mlp.switch_mlp.{projection}_proj")

    def every_expert(self) -> list[str]:
        return [name for n in range(self.layers) for part in PROJECTIONS for name in self.experts(n, part)]

    def swap(self, one: list[str], other: list[str]) -> None:
        for a, b in zip(one, other, strict=True):
            self.tensors[a], self.tensors[b] = self.tensors[b], self.tensors[a]

    def change(self, names: list[str], how: Callable[[Any], Any]) -> None:
        for name in names:
            dtype, bits = self.tensors[name]
            self.tensors[name] = (dtype, np.ascontiguousarray(how(bits)))

    def drop(self, *names: str) -> None:
        assert names
        for name in names:
            del self.tensors[name]

    def values(self, path: str) -> Any:
        """The module's weights as float32, decoded by mlx itself."""
        parts = {name.rpartition(".")[2]: to_mlx(self.tensors[name]) for name in self.module(path)}
        if "scales" not in parts:
            return np.array(parts["weight"].astype(mx.float32))
        made = mx.dequantize(
            parts["weight"], parts["scales"], parts.get("biases"), dtype=mx.float32, **self.block(path)
        )
        return np.array(made)

    def edit(self, path: str, how: Callable[[Any], Any]) -> None:
        """Store the module's weights changed, encoded as they were."""
        self.store(path, how(self.values(path)), self.block(path) if f"{path}.scales" in self.tensors else None)

    def store(self, path: str, values: Any, block: Mapping[str, Any] | None) -> None:
        dtype = self.tensors.get(f"{path}.scales", self.tensors[f"{path}.weight"])[0]
        for name in self.module(path):
            del self.tensors[name]
        kind = {"BF16": mx.bfloat16, "F32": mx.float32}.get(dtype, mx.bfloat16)
        array = mx.array(np.ascontiguousarray(values)).astype(kind)
        made = mx.quantize(array, **block) if block else [array]
        for part, stored in zip(PARTS, made, strict=False):
            self.tensors[f"{path}.{part}"] = from_mlx(stored)

    def block(self, path: str) -> dict[str, Any]:
        quantization = self.config["quantization"]
        found = quantization.get(path, quantization)
        return {key: found[key] for key in ("mode", "bits", "group_size")}

    def say_quantized(self, path: str, block: Mapping[str, Any]) -> None:
        for key in ("quantization", "quantization_config"):
            self.config[key] = {**self.config.get(key, block), path: dict(block)}

    def put_together(self) -> None:
        """Write config, weights and index, and a mark that agrees with all of them."""
        (self.folder / "config.json").write_text(json.dumps(self.config))
        rewrite(self.folder, self.tensors)


Mutation = Callable[[Broken], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A mutation, the public issue it re-enacts, and the finding that must object.

    `check` may name several separated by "|"; `subject` is a part of the finding's subject. With `in_place` the
    mutation changes files of the folder itself, else the tensors and config on the bench.
    """

    name: str
    mutation: Mutation
    issue: str
    check: str
    subject: str
    source: str = SQUARE
    variants: tuple[str, ...] = ("bf16", "4bit")
    in_place: bool = False
    own: bool = False

    def commit(self, folder: Path) -> None:
        """Break the artifact in `folder`."""
        broken = Broken.of(folder)
        self.mutation(broken)
        if not self.in_place:
            broken.put_together()


def named(mutation: Mutation, issue: str, check: str, subject: str, **settings: Any) -> Sabotage:
    name = settings.pop("name", "") or mutation.__name__
    return Sabotage(
        name=name.replace("_", " "), mutation=mutation, issue=issue, check=check, subject=subject, **settings
    )


def setting(**values: Any) -> Mutation:
    """A mutation of config.json alone: None takes a key away."""

    def mutate(broken: Broken) -> None:
        broken.config.update(values)
        for key, value in values.items():
            if value is None:
                del broken.config[key]

    return mutate


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config
