from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.errors import StructureMismatch
from tests.checkpoints_on_disk import Stored, from_mlx, safetensors

SHAPE = (6, 128)
MODES = [
    *(("affine", bits, group) for bits in (3, 4, 5, 6, 8) for group in (32, 64, 128)),
    ("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16),
]  # fmt: skip


def parameters(folder: Path, stored: Stored, shape: tuple[int, ...] = SHAPE) -> StoredParameters:
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    return StoredParameters(folder, {"p.weight": shape})


def quantized(mode: str, bits: int, group_size: int) -> Stored:
    array = mx.array(np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)).astype(mx.bfloat16)
    made = mx.quantize(array, group_size=group_size, bits=bits, mode=mode)
    return {f"p.{name}": from_mlx(part) for name, part in zip(("weight", "scales", "biases"), made, strict=False)}


@pytest.mark.parametrize(("mode", "bits", "group_size"), MODES)
def test_the_shapes_prove_mode_bits_and_group(mode: str, bits: int, group_size: int, tmp_path: Path) -> None:
    stored = parameters(tmp_path, quantized(mode, bits, group_size))
    parameter = stored.by_name["p.weight"]
    assert (parameter.mode, parameter.bits, parameter.group_size) == (mode, bits, group_size)
    assert (parameter.shape, parameter.module) == (SHAPE, "p")
    assert stored.unclaimed == []


def test_parts_are_rows_of_every_part(tmp_path: Path) -> None:
    held = quantized("affine", 4, 64)
    stored = parameters(tmp_path, held)
    parts = stored.parts(stored.by_name["p.weight"], 2, 5)
    assert set(parts) == {"weight", "scales", "biases"}
    assert all(np.array_equal(part, held[f"p.{name}"][1][2:5]) for name, part in parts.items())


def test_a_plain_tensor_and_what_nobody_claims(tmp_path: Path) -> None:
    stored = parameters(
        tmp_path, {"p.weight": ("BF16", np.zeros(SHAPE, np.uint16)), "x": ("F32", np.zeros(2, np.uint32))}
    )
    assert stored.by_name["p.weight"].mode == "none"
    assert stored.unclaimed == ["x"]


def test_a_missing_parameter_is_simply_not_there(tmp_path: Path) -> None:
    assert parameters(tmp_path, {"x": ("F32", np.zeros(2, np.uint32))}).by_name == {}


def test_one_byte_scales_of_no_known_mode_are_unknown(tmp_path: Path) -> None:
    held: Stored = {
        "p.weight": ("U32", np.zeros((6, 16), np.uint32)),
        "p.scales": ("U8", np.zeros((6, 2), np.uint8)),
    }
    assert parameters(tmp_path, held).by_name["p.weight"].mode == "unknown"


def test_scales_without_columns_are_a_mismatch(tmp_path: Path) -> None:
    held: Stored = {
        "p.weight": ("U32", np.zeros((6, 16), np.uint32)),
        "p.scales": ("BF16", np.zeros((6, 0), np.uint16)),
    }
    with pytest.raises(StructureMismatch, match="without columns"):
        parameters(tmp_path, held)
