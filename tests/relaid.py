"""Checkpoints in every form of experts, built from matrices with numpy alone, for the tests of relayout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubbot.catalogue.experts.relayout_moves import Rearrangement, rearrangement
from hubbot.checkpoints import Checkpoint
from hubbot.folders import Folder
from hubbot.steps.inspect import inspect
from hubbot.steps.relayout import relayout
from tests.checkpoints_on_disk import Stored, quietly, safetensors

Bits = NDArray[Any]
# (layer, projection, expert) -> [out, in]
Matrices = Mapping[tuple[int, str, int], Bits]
W = {"gate": "w1", "up": "w3", "down": "w2"}


def matrices(*, layers: int, experts: int, width: int, hidden: int, dtype: str, seed: int) -> Matrices:
    generator = np.random.default_rng(seed)
    kind: Any = {"F32": np.uint32, "BF16": np.uint16, "F16": np.uint16}[dtype]
    shapes = {"gate": (width, hidden), "up": (width, hidden), "down": (hidden, width)}
    return {
        (layer, projection, expert): generator.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
        for layer in range(layers)
        for expert in range(experts)
        for projection, shape in shapes.items()
    }


def stored(
    made: Matrices,
    form: str,
    *,
    model_type: str,
    dtype: str,
    order: str = "concatenated",
    layers_at: str = "model.layers",
    block: str = "mlp",
) -> Stored:
    """The tensors of `form`, put together by indexing and stacking alone."""
    if model_type == "mixtral":
        block = "block_sparse_moe" if form == "per_expert" else "mlp"
    layers = sorted({key[0] for key in made})
    experts = sorted({key[2] for key in made})
    found: Stored = {}
    for layer in layers:
        home = f"{layers_at}.{layer}.{block}".removesuffix(".")
        found[f"{home}.gate.weight"] = ("F32", np.arange(len(experts) * 3, dtype=np.uint32).reshape(-1, 3) + layer)
        parts = {p: [made[layer, p, e] for e in experts] for p in ("gate", "up", "down")}
        if form == "per_expert":
            names = W if model_type == "mixtral" else {p: f"{p}_proj" for p in parts}
            for projection, values in parts.items():
                for expert, value in enumerate(values):
                    found[f"{home}.experts.{expert}.{names[projection]}.weight"] = (dtype, value)
        elif form == "stacked":
            for projection, values in parts.items():
                found[f"{home}.experts.{projection}_proj"] = (dtype, np.stack(values))
        else:
            fused = [joined(gate, up, order) for gate, up in zip(parts["gate"], parts["up"], strict=True)]
            turn = form == "stacked_fused_transposed"
            for name, values in (("gate_up_proj", fused), ("down_proj", parts["down"])):
                found[f"{home}.experts.{name}"] = (dtype, np.stack([v.T if turn else v for v in values]))
    found["model.norm.weight"] = ("F32", np.arange(5, dtype=np.uint32))
    return found


def joined(gate: Bits, up: Bits, order: str) -> Bits:
    if order == "concatenated":
        return np.concatenate([gate, up])
    both = np.empty((2 * len(gate), gate.shape[1]), gate.dtype)
    both[0::2], both[1::2] = gate, up
    return both


def write_checkpoint(folder: Path, tensors: Stored, *, model_type: str, experts: int, shards: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "num_experts": experts}))
    (folder / "tokenizer.json").write_text('{"a": 1}\n')
    (folder / "README.md").write_text("# hello")
    (folder / "modeling_x.py").write_text("import os")
    names = sorted(tensors)
    groups = [names[number::shards] for number in range(shards)]
    files = ["model.safetensors"] if shards == 1 else [f"model-{n}.safetensors" for n in range(shards)]
    for file, group in zip(files, groups, strict=True):
        (folder / file).write_bytes(safetensors({name: tensors[name] for name in group}))
    if shards > 1:
        weight_map = {name: file for file, group in zip(files, groups, strict=True) for name in group}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def looked(folder: Path) -> Checkpoint:
    return inspect(Folder(folder))


def relaid(
    source: Path, to: str, out: Path, *, working_bytes: int = 1 << 16, shard_bytes: int = 1 << 30
) -> Rearrangement:
    checkpoint = looked(source)
    made = rearrangement(checkpoint, to)
    relayout(
        checkpoint,
        made,
        source=source,
        out=out,
        working_bytes=working_bytes,
        shard_bytes=shard_bytes,
        progress=quietly,
    )
    return made


def same(one: Stored, other: Stored) -> bool:
    """Whether two sets of tensors have the same names, dtypes, shapes and bits."""
    return set(one) == set(other) and all(
        one[name][0] == other[name][0] and np.array_equal(one[name][1], other[name][1]) for name in one
    )
