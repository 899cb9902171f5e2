"""relayout of fp8 with 256 experts: how much memory it takes, and every expert of it against numpy."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hubbot.checkpoints import DTYPE_BITS
from tests.reference.checkpoints import Floats, round_bf16

ROOT = Path(__file__).parents[2]
EXPERTS, BLOCK, MIB = 256, 128, 1 << 20
Codes = NDArray[np.uint8]
Grid = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Qwen3 MoE in fp8 with a tensor for every expert and projection: layers, and widths in elements."""

    layers: int
    hidden: int
    inner: int

    def shapes(self) -> dict[str, tuple[int, int]]:
        wide, tall = (self.inner, self.hidden), (self.hidden, self.inner)
        return {"gate_proj": wide, "up_proj": wide, "down_proj": tall}

    def matrix(self, layer: int, expert: int, projection: str) -> tuple[Codes, Grid]:
        """Codes of e4m3, none of them a NaN, and a scale for every block; the same whenever they are asked for."""
        rows, columns = self.shapes()[projection]
        generator = np.random.default_rng((layer, expert, list(self.shapes()).index(projection)))
        codes = generator.integers(0, 255, (rows, columns), np.uint8)
        codes[codes % 128 == 127] = 1
        scales = generator.random((rows // BLOCK, columns // BLOCK), np.float32) + np.float32(0.1)
        return codes, scales

    def write(self, folder: Path) -> int:
        """Write the checkpoint, a matrix at a time, and return the bytes of its weights."""
        names = [
            (f"model.layers.{layer}.mlp.experts.{expert}.{projection}.weight", (layer, expert, projection))
            for layer in range(self.layers)
            for expert in range(EXPERTS)
            for projection in self.shapes()
        ]
        entries, position = {}, 0
        for name, (_, _, projection) in names:
            rows, columns = self.shapes()[projection]
            for ending, dtype, shape in (
                ("", "F8_E4M3", [rows, columns]),
                ("_scale_inv", "F32", [rows // BLOCK, columns // BLOCK]),
            ):
                stop = position + DTYPE_BITS[dtype] * shape[0] * shape[1] // 8
                entries[name + ending] = {"dtype": dtype, "shape": shape, "data_offsets": [position, stop]}
                position = stop
        folder.mkdir()
        header = json.dumps(entries).encode()
        with (folder / "model.safetensors").open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for _, place in names:
                codes, scales = self.matrix(*place)
                file.write(codes.tobytes() + scales.tobytes())
        config = {
            "model_type": "qwen3_moe", "num_experts": EXPERTS, "num_hidden_layers": self.layers,
            "hidden_size": self.hidden, "moe_intermediate_size": self.inner,
            "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [BLOCK, BLOCK]},
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        return position


def decoded(codes: Codes, scales: Grid) -> Floats:
    """e4m3 (a sign, 4 bits of exponent, 3 of fraction) times the scale of its block, by the definition."""
    exponent, fraction = (codes >> 3) & 15, (codes & 7).astype(np.float32)
    size = np.where(
        exponent == 0, np.ldexp(fraction, -9), np.ldexp(1 + fraction / 8, exponent.astype(np.int32) - 7)
    )
    signed = np.where(codes >> 7, -size, size).astype(np.float32)
    found: Floats = signed * scales.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return found


def codes_of(codes: Codes, _scales: Grid) -> bytes:
    return codes.tobytes()


def scales_of(_codes: Codes, scales: Grid) -> bytes:
    return scales.tobytes()


def bf16_of(codes: Codes, scales: Grid) -> bytes:
    return (round_bf16(decoded(codes, scales)).view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()


def stored(folder: Path) -> dict[str, tuple[str, NDArray[np.uint8]]]:
    """By name the dtype and the bytes of every tensor of a folder, mapped."""
    found = {}
    for path in folder.glob("*.safetensors"):
        file = np.memmap(path, np.uint8, mode="r")
        size = int.from_bytes(file[:8].tobytes(), "little")
        header = json.loads(file[8 : 8 + size].tobytes())
        for name, entry in header.items():
            if name != "__metadata__":
                first, stop = entry["data_offsets"]
                found[name] = (entry["dtype"], file[8 + size + first : 8 + size + stop])
    return found


@pytest.mark.parametrize("unpack", [False, True], ids=["codes and scales", "--unpack bf16"])
@pytest.mark.parametrize(
    ("shape", "least"),
    [
        pytest.param(Source(layers=1, hidden=128, inner=128), 12 * MIB, id="short"),
        pytest.param(
            Source(layers=4, hidden=1024, inner=512), 1600 * 10**6, id="long",
            marks=[pytest.mark.slow, pytest.mark.timeout(600)],
        ),
    ],
)  # fmt: skip
def test_fp8_of_256_experts_is_fused_under_200_mb_with_every_value_exact(
    shape: Source, least: int, unpack: bool, tmp_path: Path
) -> None:
    assert shape.write(tmp_path / "source") >= least
    command = [sys.executable, "-m", "hubbot", "relayout", str(tmp_path / "source"), "--to", "stacked-fused"]
    command += ["--out", str(tmp_path / "out"), "--json", *(["--unpack", "bf16"] if unpack else [])]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert json.loads(done.stdout)["peak_memory_bytes"] < 200 * 10**6
    out = stored(tmp_path / "out")
    kinds: dict[str, tuple[str, Callable[[Codes, Grid], bytes]]] = (
        {"": ("BF16", bf16_of)} if unpack else {"": ("F8_E4M3", codes_of), "_scale_inv": ("F32", scales_of)}
    )
    assert len(out) == shape.layers * 2 * len(kinds)
    for layer in range(shape.layers):
        home = f"model.layers.{layer}.mlp.experts"
        for expert in range(EXPERTS):
            made = {projection: shape.matrix(layer, expert, projection) for projection in shape.shapes()}
            for ending, (dtype, wanted) in kinds.items():
                for name, parts in (("gate_up_proj", ("gate_proj", "up_proj")), ("down_proj", ("down_proj",))):
                    found_dtype, found = out[f"{home}.{name}{ending}"]
                    size = len(found) // EXPERTS
                    assert found_dtype == dtype
                    assert found[expert * size : (expert + 1) * size].tobytes() == b"".join(
                        wanted(*made[part]) for part in parts
                    ), f"{home}.{expert}.{name}{ending}"
