"""Models whose experts are far larger than memory is to be: what a conversion holds stays within its plan."""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.checkpoints import stored_bytes
from hubbot.settings import Settings
from hubbot.steps.plan import plan
from tests.bench.measuring import measure
from tests.checkpoints_on_disk import look
from tests.reference.make_kimi_k3 import OUTER, TEXT, shapes
from tests.reference.packing import PACKINGS

ROOT = Path(__file__).parents[2]
MIB = 2**20
FLOAT32 = ("e_score_correction_bias", "A_log", "dt_bias")


def kimi_k3(folder: Path, *, hidden: int, inner: int, latent: int, experts: int) -> int:
    """Write a Kimi K3 of three layers, its experts in mxfp4, and return the bytes of its tensors."""
    linear = {**TEXT["linear_attn_config"], "kda_layers": [1, 2], "full_attn_layers": [3]}
    text = {
        **TEXT, "num_hidden_layers": 3, "hidden_size": hidden, "intermediate_size": inner, "num_experts": experts,
        "moe_intermediate_size": inner, "routed_expert_hidden_size": latent, "linear_attn_config": linear,
        "quantization_config": dict(PACKINGS["mxfp4_pack"].declared),
    }  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**OUTER, "text_config": text}))
    return safetensors(folder / "model.safetensors", dict(packed(text)))


def packed(text: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    for name, shape in shapes(text):
        if ".experts." in name:
            yield f"{name}_packed", ("U8", (shape[0], shape[1] // 2))
            yield f"{name}_scale", ("U8", (shape[0], shape[1] // 32))
        else:
            yield name, ("F32" if name.endswith(FLOAT32) else "BF16", shape)


def safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """Write random codes and weights near 0.01, a tensor at a time."""
    generator, header, position = np.random.default_rng(3), {}, 0
    for name, (dtype, shape) in tensors.items():
        end = position + stored_bytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, (dtype, shape) in tensors.items():
            if name.endswith("_packed"):
                values = generator.integers(0, 256, math.prod(shape), np.uint8)
            elif name.endswith("_scale"):
                values = generator.integers(116, 122, math.prod(shape), np.uint8)
            else:
                values = (generator.standard_normal(math.prod(shape), np.float32) * np.float32(0.01)).view(
                    np.uint32
                )
                values = values if dtype == "F32" else (values >> 16).astype(np.uint16)
            file.write(values.tobytes())
    return position


@pytest.mark.parametrize(
    ("experts", "inner", "least"),
    [
        pytest.param(8, 768, 25 * MIB, id="short"),
        pytest.param(160, 3072, 1600 * MIB, id="long", marks=pytest.mark.slow),
    ],
)
def test_a_kimi_k3_with_large_experts_is_converted_within_the_memory_of_its_plan(
    experts: int, inner: int, least: int, tmp_path: Path
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    size = kimi_k3(source, hidden=1024, inner=inner, latent=1024, experts=experts)
    assert size > least
    found = look(source)
    expected = plan(found.checkpoint, found.layout, ["4bit"], working_bytes=Settings().working_bytes)
    command = [sys.executable, "-m", "hubbot", "convert", str(source), "--out", str(out), "--variant", "4bit"]
    measured = measure(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert measured.bytes_read > size
    assert measured.peak_memory_bytes < expected.memory_bytes < 800 * MIB
