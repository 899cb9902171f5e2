"""The forms in which a model that sees is published: its experts apart, fused, transposed, or packed as fp8.

They are cut with numpy from the values of the case; and back into the model's parameters.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.reference.checkpoints import (
    Case,
    Floats,
    layout_tensors,
    parameter_values,
    put,
    round_bf16,
    safetensors_bytes,
)
from tests.reference.packing import FUSED as PACKED
from tests.reference.packing import Packing, Stored, parts, unpacked

FORMS = PER_EXPERT, FUSED, TRANSPOSED, FP8, FP8_FUSED = (
    "per-expert", "fused", "transposed", "fp8 per-expert", "fp8 fused",
)  # fmt: skip
# Blocks so small that every matrix has several, and a fused one those of its halves.
BLOCK = 32
_FP8 = Packing(
    kind="fp8", layout="orig", pattern=PACKED, block=(BLOCK, BLOCK),
    declared={
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK],
    },
)  # fmt: skip
_APART = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down", "w1": "gate", "w3": "up", "w2": "down"}
_ONE = re.compile(rf"(.*\.experts)\.(\d+)\.({'|'.join(_APART)})\.weight")
_STACK = re.compile(r"(.*\.experts)\.(gate_up|down)_proj")
_TOWER = re.compile(r"vision|visual|projector")
# By the experts' home the matrices [experts, out, in] of gate, up and down.
Matrices = Mapping[str, Mapping[str, Floats]]


def write(made: Case, form: str, folder: Path) -> Path:
    """Write the case in one of FORMS into `folder`, made if absent, and return it."""
    config = dict(made.config)
    stored: dict[str, Stored] = {}
    for name, value in _cut(made, form).items():
        if not _is_fp8(form):
            stored[name] = ("F32", value)
        elif _is_packed(name):
            stored |= parts(_FP8, name, value)
        else:
            stored[name] = ("BF16", (round_bf16(value).view(np.uint32) >> np.uint32(16)).astype("<u2"))
    if _is_fp8(form):
        config["quantization_config"] = dict(_FP8.declared)
        config["dtype"] = "bfloat16"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(stored))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder


def parameters(made: Case, form: str) -> dict[str, Floats]:
    """The parameters of transformers' model, float32, that a form stands for: those of the case, or fp8's."""
    values = parameter_values(made.record)
    if not _is_fp8(form):
        return values
    rounded = {
        name: unpacked(_FP8, name, value) if _is_packed(name) else round_bf16(value)
        for name, value in _cut(made, form).items()
    }
    experts = _matrices(rounded, is_turned=form == TRANSPOSED)
    for name, view in made.record["layouts"][_layout(made, form)].items():
        own = _expert_tensor(name, experts, is_turned=_is_turned(made))
        put(values, name, view, rounded[name] if own is None else own)
    return values


def _is_fp8(form: str) -> bool:
    return form.startswith("fp8")


def _is_packed(name: str) -> bool:
    return bool(re.fullmatch(_FP8.pattern, name)) and not _TOWER.search(name)


def _is_turned(made: Case) -> bool:
    """Say whether transformers itself keeps the experts as [experts, in, out]."""
    return made.model_type == "llama4"


def _layout(made: Case, form: str) -> str:
    """Transformers 5 names fused experts in its own way; of Kimi it takes the tower apart, too."""
    own = form not in {PER_EXPERT, FP8} and made.model_type != "kimi_k25"
    return "v5" if own and "v5" in made.record["layouts"] else "orig"


def _cut(made: Case, form: str) -> dict[str, Floats]:
    """The tensors of a form as float32 values, by name."""
    layout = _layout(made, form)
    plain = {layout: {"layout": layout, "dtype": "F32", "float32": []}}
    tensors = layout_tensors({**made.record, "forms": plain}, layout)
    experts = _matrices(tensors, is_turned=_is_turned(made))
    rest = {name: value for name, value in tensors.items() if not (_ONE.fullmatch(name) or _STACK.fullmatch(name))}
    experts_of = {
        name: _expert_tensor(name, experts, is_turned=form == TRANSPOSED)
        for name in _names_of(form, experts, set(tensors))
    }
    return rest | {name: value for name, value in experts_of.items() if value is not None}


def _names_of(form: str, experts: Matrices, stored: Collection[str]) -> Iterator[str]:
    for home, parts_of in experts.items():
        if form not in {PER_EXPERT, FP8}:
            yield from (f"{home}.gate_up_proj", f"{home}.down_proj")
            continue
        words = ("w1", "w3", "w2") if f"{home}.0.w1.weight" in stored else ("gate_proj", "up_proj", "down_proj")
        yield from (f"{home}.{one}.{word}.weight" for one in range(len(parts_of["gate"])) for word in words)


def _matrices(tensors: Mapping[str, Floats], *, is_turned: bool) -> Matrices:
    found: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(dict))
    for name, value in tensors.items():
        if one := _ONE.fullmatch(name):
            home, number, part = one.groups()
            found[home][_APART[part]][int(number)] = value
        elif stack := _STACK.fullmatch(name):
            whole = value.swapaxes(1, 2) if is_turned else value
            halves = np.split(whole, 2, axis=1) if stack[2] == "gate_up" else [whole]
            found[stack[1]] |= dict(zip(("gate", "up") if len(halves) == 2 else ("down",), halves, strict=True))
    return {
        home: {
            part: np.stack([value[i] for i in range(len(value))]) if isinstance(value, dict) else value
            for part, value in of_home.items()
        }
        for home, of_home in found.items()
    }


def _expert_tensor(name: str, experts: Matrices, *, is_turned: bool) -> Floats | None:
    """The tensor of that name made of the experts, or None where it is none of theirs."""
    if one := _ONE.fullmatch(name):
        matrix: Floats = experts[one[1]][_APART[one[3]]][int(one[2])]
        return matrix
    if not (stack := _STACK.fullmatch(name)):
        return None
    of_home = experts[stack[1]]
    whole = np.concatenate([of_home["gate"], of_home["up"]], axis=1) if stack[2] == "gate_up" else of_home["down"]
    return np.ascontiguousarray(whole.swapaxes(1, 2)) if is_turned else whole
