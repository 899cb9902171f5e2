"""Sources that no reference is: packed in fp8, with a layer for multi-token prediction, with texts beside them."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoints_on_disk import Stored, Workshop, read_stored, safetensors
from tests.checks.stock import borrow_tokenizer
from tests.reference.checkpoints import Floats, case, draw, write

FP8, MTP, WORDED = "fp8", "mtp", "worded"
BLOCK = 32
_FP8_OF, _MTP_OF, _WORDED_OF = "qwen3_moe/square/hub", "deepseek_v3/hub", "qwen3_moe/square/hub"


class Sources(Workshop):
    """A workshop that also makes these sources."""

    def write(self, name: str, folder: Path) -> None:
        made = {FP8: _fp8, MTP: _mtp, WORDED: _worded}.get(name)
        if made is None:
            super().write(name, folder)
        else:
            made(folder)


def fp8_scales(layer: int, expert: int, projection: str) -> Floats:
    """The scales of one expert's blocks, as the packed source holds them."""
    return _scales(f"model.layers.{layer}.mlp.experts.{expert}.{projection}_proj.weight", (64, 64))


def _scales(name: str, shape: tuple[int, ...]) -> Floats:
    grid = tuple(side // BLOCK for side in shape)
    made: Floats = np.exp2(np.floor(draw(8, name, grid, 0.0, 1.0)) - 9).astype(np.float32)
    return made


def _fp8(folder: Path) -> None:
    write(case(_FP8_OF), folder)
    stored: Stored = {}
    for name, (dtype, bits) in read_stored(folder / "model.safetensors").items():
        if ".experts." not in name:
            stored[name] = (dtype, bits)
            continue
        # Any codes but the two that are no numbers make a weight.
        codes = np.random.default_rng(sum(name.encode())).integers(0, 127, bits.shape).astype(np.uint8)
        signs = np.random.default_rng(len(stored)).integers(0, 2, bits.shape).astype(np.uint8) << 7
        stored[name] = ("F8_E4M3", codes | signs)
        stored[f"{name}_scale_inv"] = ("F32", _scales(name, bits.shape).view(np.uint32))
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    block = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "activation_scheme": "dynamic"}
    _configure(folder, quantization_config=block)


def _mtp(folder: Path) -> None:
    write(case(_MTP_OF), folder)
    path = folder / "model.safetensors"
    stored = read_stored(path)
    path.write_bytes(
        safetensors(stored | {n.replace("layers.2.", "layers.3."): s for n, s in _predicting().items()})
    )
    _configure(folder, num_nextn_predict_layers=1)


@cache
def _predicting() -> Stored:
    """The tensors of a layer like the last one, under its names, with other values."""
    with tempfile.TemporaryDirectory() as scratch:
        stored = read_stored(write(case(_MTP_OF), Path(scratch)) / "model.safetensors")
    return {n: (d, np.roll(b, 1, axis=0)) for n, (d, b) in stored.items() if n.startswith("model.layers.2.")}


def mtp_layer() -> Stored:
    """The same in the artifact's names, as far as they are the source's."""
    return {name: stored for name, stored in _predicting().items() if "norm" in name or ".e_score" in name}


def _worded(folder: Path) -> None:
    borrow_tokenizer(write(case(_WORDED_OF), folder))
    texts: dict[str, Any] = {
        "generation_config.json": json.dumps({"eos_token_id": 2, "bos_token_id": 1, "temperature": 0.6}),
        "chat_template.jinja": "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}",
        "special_tokens_map.json": json.dumps({"bos_token": "<s>", "eos_token": "</s>"}),
        "LICENSE": "Do what you like.",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)


def _configure(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
