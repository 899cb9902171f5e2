"""Checkpoints that training left unfinished: wrapped, unmerged, ungathered, or with experts counted by layer."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hubbot.errors import HubbotError, IncompleteCover, UnknownLayout
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import Stored, edit_json, read_folder, safetensors
from tests.reference.checkpoints import case, write

Change = Callable[[Stored], Stored]
GATE = "model.layers.1.mlp.gate.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of a good checkpoint, the error, and the words that name it and the way out."""

    change: Change
    error: type[HubbotError]
    called: str
    way_out: str
    config: Mapping[str, object] | None = None


def under(prefix: str) -> Change:
    return lambda stored: {f"{prefix}{name}": value for name, value in stored.items()}


def with_adapter(stored: Stored) -> Stored:
    home = "model.layers.0.self_attn.q_proj"
    small = ("F32", np.zeros((2, 4), np.uint32))
    return stored | {f"{home}.lora_A.default.weight": small, f"{home}.lora_B.default.weight": small}


def emptied(*wanted: str) -> Change:
    return lambda stored: {
        name: ("F32", np.zeros(0, np.uint32)) if any(re.search(part, name) for part in wanted) else value
        for name, value in stored.items()
    }


def megatron(stored: Stored) -> Stored:
    return {name.replace("down_proj", "linear_fc2"): value for name, value in stored.items()}


def pruned(*, router: bool) -> Change:
    """Layer 1 with six experts of its eight."""

    def change(stored: Stored) -> Stored:
        kept = {n: v for n, v in stored.items() if not re.search(r"layers\.1\.mlp\.experts\.[67]\.", n)}
        dtype, bits = kept[GATE]
        return kept | {GATE: (dtype, np.ascontiguousarray(bits[:6]) if router else bits)}

    return change


def same(stored: Stored) -> Stored:
    return stored


LEFT: Mapping[str, Left] = {
    "data parallel": Left(change=under("module."), error=UnknownLayout, called="`module`", way_out="unwrap_model"),
    "compiled": Left(
        change=under("_orig_mod."), error=UnknownLayout, called="torch.compile", way_out="unwrap_model"
    ),
    "sharded by FSDP": Left(
        change=under("_fsdp_wrapped_module."), error=UnknownLayout, called="FSDP", way_out="unwrap_model"
    ),
    "wrapped by peft": Left(
        change=under("base_model.model."), error=UnknownLayout, called="base_model.model", way_out="merge_and"
    ),
    "with adapters": Left(change=with_adapter, error=UnknownLayout, called="LoRA", way_out="merge_and_unload"),
    "Megatron's names": Left(change=megatron, error=UnknownLayout, called="Megatron-LM", way_out="convert"),
    "all empty": Left(change=emptied(""), error=IncompleteCover, called="ZeRO-3", way_out="zero_to_fp32.py"),
    "empty experts": Left(
        change=emptied(r"experts\."), error=IncompleteCover, called="ZeRO-3", way_out="zero_to_fp32.py"
    ),
    "an empty norm": Left(
        change=emptied(r"model\.norm\."), error=IncompleteCover, called="ZeRO-3", way_out="zero_to_fp32.py"
    ),
    "a layer with fewer experts": Left(
        change=pruned(router=True), error=IncompleteCover, called="layer 1 has 6 experts", way_out="one number"
    ),
    "a layer that lost experts": Left(
        change=pruned(router=False), error=IncompleteCover, called="experts are missing", way_out="incomplete"
    ),
    "a list of expert counts": Left(
        change=same,
        error=HubbotError,
        called="num_experts = [8, 6]",
        way_out="one number",
        config={"num_experts": [8, 6]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_training_left_is_called_by_its_name_with_a_way_out(tmp_path: Path, name: str) -> None:
    left = LEFT[name]
    write(case("qwen3_moe/hub"), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(safetensors(left.change(read_folder(tmp_path))))
    config = json.loads((tmp_path / "config.json").read_text())
    counts = [key for key in ("num_experts", "num_local_experts") if key in config] if left.config else []
    edit_json(tmp_path / "config.json", *counts)
    edit_json(tmp_path / "config.json", **(left.config or {}))
    with pytest.raises(left.error) as caught:
        classify(inspect(Folder(tmp_path)))
    assert left.called in caught.value.message
    assert left.way_out in (caught.value.hint or "")


def test_a_list_that_says_the_same_for_every_layer_is_that_number(tmp_path: Path) -> None:
    write(case("qwen3_moe/hub"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    count = config.get("num_experts", config.get("num_local_experts"))
    edit_json(tmp_path / "config.json", "num_experts", "num_local_experts")
    edit_json(tmp_path / "config.json", num_experts=[count] * config["num_hidden_layers"])
    assert classify(inspect(Folder(tmp_path))).num_experts == count
