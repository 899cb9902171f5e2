"""The real configs' small twins as they are committed, and their checkpoints regenerated without torch."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hubbot.catalogue import resolution
from hubbot.catalogue.families import BY_MODEL_TYPE
from tests.reference import checkpoints
from tests.reference.checkpoints import Floats, Ids

DATA = Path(__file__).parent / "data"
FORM = "config"
# Where a config does not say how many there are.
EXPERTS = 4

Expected = Literal["convert", "refuse", "no row"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Twin:
    """A real config made small: where it was found, what is to become of it, and the reference where there is one.

    `told` are words that the refusal has to say. `logits` are float32 [tokens, vocab] for `ids`, None without a
    reference.
    """

    name: str
    repo: str
    source: str
    certainty: str
    expected: Expected
    told: tuple[str, ...]
    tolerance: float
    config: Mapping[str, Any]
    record: Mapping[str, Any] | None = field(repr=False)
    ids: Ids | None
    logits: Floats | None


@functools.cache
def twins() -> tuple[Twin, ...]:
    """Every committed twin, by name."""
    return tuple(_twin(path) for path in sorted(DATA.glob("*.json")))


def _twin(path: Path) -> Twin:
    data = json.loads(path.read_text("utf-8"))
    record, logits = data.get("record"), None
    if record is not None:
        with np.load(path.with_suffix(".npz")) as arrays:
            logits = arrays["logits"]
    return Twin(
        name=path.stem,
        repo=data["repo"],
        source=data["source"],
        certainty=data["certainty"],
        expected=data["expected"],
        told=tuple(data["told"]),
        tolerance=data.get("tolerance", 1e-4),
        config=data["config"],
        record=record,
        ids=None if record is None else np.array(record["ids"], dtype=np.int64),
        logits=logits,
    )


def write(twin: Twin, folder: Path) -> Path:
    """Write config.json and, as the reference was saved, the weights; one expert tensor where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(twin.config, indent=2, sort_keys=True))
    record = twin.record
    stored = _placeholders(twin.config) if record is None else checkpoints.stored_tensors(_with_form(record), FORM)
    (folder / "model.safetensors").write_bytes(checkpoints.safetensors_bytes(stored))
    return folder


def _with_form(record: Mapping[str, Any]) -> Mapping[str, Any]:
    tables = checkpoints.tables_of(record, "orig")
    return {**record, "forms": {FORM: {"layout": "orig", "dtype": "F32", "float32": [], "extra": {}, **tables}}}


def _placeholders(config: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """The experts of one layer under the family's names, or the commonest: the config alone is in question."""
    family = BY_MODEL_TYPE.get(str(config.get("model_type", "")))
    block = next((one for one in family.blocks if one), "mlp") if family else "mlp"
    named = (
        ("w1", "w3", "w2")
        if family and "per_expert_w" in family.layouts
        else ("gate_proj", "up_proj", "down_proj")
    )
    declared = resolution.expert_count(config)
    return {
        f"model.layers.1.{block}.experts.{expert}.{part}.weight": ("F32", np.zeros(shape, np.float32))
        for expert in range(declared[1] if declared else EXPERTS)
        for part, shape in zip(named, ((8, 16), (8, 16), (16, 8)), strict=True)
    }
