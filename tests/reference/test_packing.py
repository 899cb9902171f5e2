import re

import mlx.core as mx
import numpy as np
import pytest

from tests.reference.checkpoints import Case, Floats, cases, layout_tensors, stored_tensors
from tests.reference.packing import E4M3, PACKINGS, Packing, Stored

PACKED = [made for made in cases() if made.form in PACKINGS]


def of_mlx(stored: Stored) -> Floats:
    dtype, numbers = stored
    if dtype == "F32":
        return numbers.astype(np.float32)
    assert dtype == "BF16"
    return (numbers.astype(np.uint32) << 16).view(np.float32)


def dequantized(form: str, name: str, stored: dict[str, Stored]) -> Floats:
    """The weight as MLX's own kernels read the codes, or by the packed integers' definition."""
    packing = PACKINGS[form]
    if packing.kind == "int4":
        stem = name.removesuffix("weight")
        words = stored[f"{stem}weight_packed"][1]
        codes = np.stack([(words >> (4 * place)) & 15 for place in range(8)], axis=-1).reshape(len(words), -1)
        scales = of_mlx(stored[f"{stem}weight_scale"]).repeat(packing.block[1], axis=-1)
        values: Floats = (codes.astype(np.float32) - 8) * scales
        return values
    if packing.kind == "mxfp4":
        blocks, powers = mx.array(stored[f"{name}_blocks"][1]), mx.array(stored[f"{name}_scales"][1])
        rows = blocks.view(mx.uint32).flatten(-2)
        wide = mx.dequantize(rows, powers, group_size=32, bits=4, mode="mxfp4", dtype=mx.float32)
        return np.array(wide.swapaxes(-1, -2))
    if packing.kind == "mxfp4_pack":
        rows = mx.array(stored[f"{name}_packed"][1]).view(mx.uint32)
        scale = mx.array(stored[f"{name}_scale"][1])
        return np.array(mx.dequantize(rows, scale, group_size=32, bits=4, mode="mxfp4", dtype=mx.float32))
    if packing.kind.endswith("e8m0"):
        return of_powers(packing, name, stored)
    codes = np.array(mx.from_fp8(mx.array(stored[name][1]), dtype=mx.float32))
    scales = of_mlx(stored[name + ("_scale" if packing.kind == "fp8_channel" else "_scale_inv")])
    height, width = packing.block[0], packing.block[1] or codes.shape[-1]
    spread = scales.repeat(height, axis=-2)[..., : codes.shape[-2], :].repeat(width, axis=-1)
    made: Floats = codes * spread[..., : codes.shape[-1]]
    return made


def of_powers(packing: Packing, name: str, stored: dict[str, Stored]) -> Floats:
    """DeepSeek-V4's two kinds of weights, whose scales are powers of two."""
    dtype, codes = stored[name]
    exponents = stored[name.replace(".weight", ".scale")][1]
    if dtype == "I8":
        rows = mx.array(codes.view(np.uint8)).view(mx.uint32)
        wide = mx.dequantize(rows, mx.array(exponents), group_size=32, bits=4, mode="mxfp4", dtype=mx.float32)
        return np.array(wide)
    spread = exponents.repeat(packing.block[0], axis=-2)[: codes.shape[-2]].repeat(packing.block[1], axis=-1)
    powers = np.exp2(spread[:, : codes.shape[-1]].astype(np.float32) - 127)
    made: Floats = np.array(mx.from_fp8(mx.array(codes), dtype=mx.float32)) * powers
    return made


def test_the_table_of_eight_bit_floats_is_mlxs() -> None:
    codes = mx.array(np.arange(0x7F, dtype=np.uint8))
    assert np.array_equal(np.array(mx.from_fp8(codes, dtype=mx.float32)), E4M3)


@pytest.mark.parametrize("made", PACKED, ids=lambda made: made.name)
def test_codes_and_scales_on_disk_stand_for_the_values_of_the_reference(made: Case) -> None:
    logical, stored = layout_tensors(made.record, made.form), stored_tensors(made.record, made.form)
    names = [name for name in logical if re.fullmatch(PACKINGS[made.form].pattern, name)]
    assert names
    for name in names:
        assert np.array_equal(dequantized(made.form, name, stored), logical[name])


@pytest.mark.parametrize("made", PACKED, ids=lambda made: made.name)
def test_packing_loses_something_but_not_the_weight(made: Case) -> None:
    plain = {one.model: one for one in cases() if one.model_type == made.model_type and one.form == "orig"}
    error = np.abs(made.logits - plain[made.model].logits).max() / np.abs(made.logits).max()
    assert 1e-3 < error < 1.5
