"""Checkpoints of expert tensors that have names and shapes only."""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.experts.completeness import Experts
from hubbot.catalogue.experts.expert_layouts import read_names
from hubbot.checkpoints import Checkpoint, Repo, TensorInfo

Shapes = Mapping[str, tuple[int, ...]]


def checkpoint(shapes: Shapes, dtypes: Mapping[str, str] | None = None, **config: Any) -> Checkpoint:
    tensors = {
        name: TensorInfo(
            name=name, dtype=(dtypes or {}).get(name, "BF16"), shape=shape, shard="m.safetensors", start=0, end=2
        )
        for name, shape in shapes.items()
    }
    return Checkpoint(
        repo=Repo(id="org/m", revision="0" * 40), config=config, card={}, files=(), tensors=tensors,
        gated=False, private=False, requests=0, bytes_read=0,
    )  # fmt: skip


def experts(found: Checkpoint) -> Experts:
    known, unknown = read_names(found.tensors)
    assert unknown == []
    return Experts(row=known[0].row, tensors=known)


def separate(hidden: int, width: int, *, count: int = 3, layers: int = 2) -> dict[str, tuple[int, ...]]:
    shapes = {"gate": (width, hidden), "up": (width, hidden), "down": (hidden, width)}
    return {
        f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj.weight": shape
        for layer in range(layers)
        for expert in range(count)
        for part, shape in shapes.items()
    }


def fused(gate_up: tuple[int, int], down: tuple[int, int], *, count: int = 3) -> dict[str, tuple[int, ...]]:
    stem = "model.layers.0.mlp.experts"
    return {f"{stem}.gate_up_proj": (count, *gate_up), f"{stem}.down_proj": (count, *down)}
