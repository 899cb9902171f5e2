import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.engine import unpacking
from hubbot.errors import ValueMismatch
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import answer, converted, floats, judged, look, read_folder, relative, stock_model
from tests.packers import E4M3, e2m1_values, powers
from tests.packing_on_disk import FORMS, FUSED, MXFP4, Form, Written, is_expert, read_packed, rewrite, write
from tests.reference.checkpoints import case

# Forms and the references that they are tried on; a latent attention's heads are split after unpacking.
TRIED: Mapping[str, tuple[str, Form]] = {
    **{f"{name}, per expert": ("qwen3_moe/orig", form) for name, form in FORMS.items()},
    **{f"{name}, fused": ("qwen3_moe/v5", form) for name, form in FUSED.items()},
    **{
        f"{name}, latent": ("deepseek_v3/orig", FORMS[name])
        for name in ("fp8 ragged blocks", "awq", "gptq in order")
    },
    "fp8 blocks, fused and transposed": ("llama4_text/orig", FORMS["fp8 blocks"]),
}
every_form = pytest.mark.parametrize(("name", "form"), TRIED.values(), ids=TRIED.keys())


def test_every_e4m3_code_has_the_value_of_the_specification() -> None:
    assert np.array_equal(unpacking.E4M3.view(np.uint32)[:127], E4M3.view(np.uint32)[:127])
    assert np.array_equal(unpacking.E4M3.view(np.uint32)[128:255], E4M3.view(np.uint32)[128:255])
    assert np.isnan(unpacking.E4M3[[127, 255]]).all()
    assert unpacking.E4M3[0x08] == 2.0**-6  # the smallest normal number
    assert unpacking.E4M3[0x7E] == 448


def test_every_e8m0_code_is_a_power_of_two_and_the_last_is_nan() -> None:
    assert np.array_equal(unpacking.E8M0[:255], powers(np.arange(255)))
    assert unpacking.E8M0[0] == 2.0**-127
    assert np.isnan(unpacking.E8M0[255])


@every_form
def test_a_packed_checkpoint_becomes_what_its_values_unpacked_become(
    name: str, form: Form, tmp_path: Path
) -> None:
    made = write(name, form, tmp_path)
    source = look(made.packed)
    folder = converted(source, tmp_path / "a", "fp32")["fp32"]
    plain = converted(look(made.plain), tmp_path / "b", "fp32")["fp32"]
    assert_equal(folder, plain)
    assert judged(source, folder).verdict == "approved"


def test_gpt_oss_blocks_become_what_their_values_unpacked_become(tmp_path: Path) -> None:
    made = write("gpt_oss/hub", MXFP4, tmp_path, is_expert)
    source = look(made.packed)
    assert source.layout.packing == "mxfp4"
    folder = converted(source, tmp_path / "a", "fp32")["fp32"]
    assert_equal(folder, converted(look(made.plain), tmp_path / "b", "fp32")["fp32"])
    assert judged(source, folder).verdict == "approved"


@pytest.mark.parametrize("variant", ["bf16", "4bit", "mxfp4", "nvfp4"])
@pytest.mark.parametrize(
    "name",
    [
        "fp8 blocks",
        "pack-quantized int4 with zero points",
        "modelopt nvfp4",
        "gptq in order",
        "gptq with 8 bits for down",
    ],
)
def test_every_variant_of_a_packed_checkpoint_is_approved(name: str, variant: str, tmp_path: Path) -> None:
    source = look(write("qwen3_moe/orig", FORMS[name], tmp_path).packed)
    report = judged(source, converted(source, tmp_path / "a", variant)[variant])
    assert [finding for finding in report.findings if finding.status == "fail"] == []
    assert report.verdict == "approved"


@pytest.mark.parametrize("name", ["fp8 blocks", "pack-quantized int4", "awq", "nvfp4-pack-quantized"])
def test_slices_of_any_size_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    source = look(write("qwen3_moe/orig", FORMS[name], tmp_path).packed)
    small = converted(source, tmp_path / "a", "bf16", working_bytes=1 << 12)["bf16"]
    assert_equal(small, converted(source, tmp_path / "b", "bf16", working_bytes=1 << 24)["bf16"])


def test_the_stock_model_of_unpacked_fp8_is_near_the_one_that_was_packed(tmp_path: Path) -> None:
    source = look(write("qwen3_moe/orig", FORMS["fp8 blocks"], tmp_path).packed)
    folder = converted(source, tmp_path / "a", "fp32")["fp32"]
    made = case("qwen3_moe/orig")
    logits = answer(stock_model(folder), made.ids)
    assert 1e-5 < relative(logits, made.logits) < 0.3


@pytest.mark.parametrize("name", ["fp8 blocks", "mxfp4-pack-quantized", "nvfp4-pack-quantized", "fp8 e8m0 blocks"])
def test_a_code_that_is_no_number_is_refused_naming_the_weight(name: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[name], tmp_path)
    weight = "model.layers.1.mlp.experts.3.up_proj"
    spoil(made, weight, {"fp8 blocks": ".weight"}.get(name, ".scale" if "e8m0" in name else ".weight_scale"), 0xFF)
    with pytest.raises(ValueMismatch, match="NaN or infinity") as caught:
        converted(look(made.packed), tmp_path / "a", "bf16")
    assert caught.value.where == f"{weight}.weight"


# Of compressed-tensors a negative number stands for no order at all.
@pytest.mark.parametrize(
    ("name", "group"), [("gptq in order", 1000), ("gptq in order", -7), ("pack-quantized int4 in order", 1000)]
)
def test_an_order_that_names_a_group_that_there_is_not_is_refused(name: str, group: int, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[name], tmp_path)
    ending = ".g_idx" if "gptq" in name else ".weight_g_idx"
    weight = "model.layers.0.mlp.experts.1.gate_proj"
    stored = read_packed(made.packed)
    order = stored[weight + ending][1].copy()
    order[5] = group
    rewrite(made.packed, {**stored, weight + ending: ("I32", order)})
    with pytest.raises(ValueMismatch, match="names group") as caught:
        converted(look(made.packed), tmp_path / "a", "bf16")
    assert caught.value.where == weight + ending


def test_two_nibbles_of_a_byte_are_two_columns_the_lower_first() -> None:
    pairs = unpacking._E2M1_TWICE.view(np.float32).reshape(256, 2)
    codes = np.arange(256)
    assert np.array_equal(
        pairs.view(np.uint32), np.stack([e2m1_values(codes & 15), e2m1_values(codes >> 4)], -1).view(np.uint32)
    )


def test_scales_of_activations_are_dropped_with_their_reason(tmp_path: Path) -> None:
    source = look(write("qwen3_moe/orig", FORMS["modelopt fp8"], tmp_path).packed)
    made = plan(source.checkpoint, source.layout, ["bf16"], working_bytes=1 << 20)
    dropped = {drop.name: drop.reason for drop in made.drops}
    assert "KV cache" in dropped["model.layers.0.self_attn.k_proj.k_scale"]
    assert len(dropped) == 2


def spoil(made: Written, weight: str, ending: str, value: int) -> None:
    stored = read_packed(made.packed)
    dtype, raw = stored[weight + ending]
    changed = raw.copy()
    changed.reshape(-1)[7 % changed.size] = value
    rewrite(made.packed, {**stored, weight + ending: (dtype, changed)})


def assert_equal(one: Path, other: Path) -> None:
    first, second = read_folder(one), read_folder(other)
    assert first.keys() == second.keys()
    differing = [name for name in first if not same(first[name], second[name])]
    assert differing == []
    assert all(np.isfinite(floats(stored)).all() for stored in first.values())


def same(one: tuple[str, Any], other: tuple[str, Any]) -> bool:
    return one[0] == other[0] and np.array_equal(one[1], other[1])


def test_the_config_of_the_result_speaks_of_no_packing(tmp_path: Path) -> None:
    source = look(write("qwen3_moe/orig", FORMS["awq"], tmp_path).packed)
    config = json.loads((converted(source, tmp_path / "a", "fp32")["fp32"] / "config.json").read_text())
    assert "quantization_config" not in config
