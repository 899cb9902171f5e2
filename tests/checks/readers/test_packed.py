import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.checks.readers.packed import DECODERS, scale_values
from hubbot.checks.readers.source_tensors import SourceTensors
from hubbot.engine import bit_packing, integers, unpacking
from hubbot.engine.reader import Block
from hubbot.errors import ValueMismatch
from hubbot.moves import Packed
from tests.checkpoints_on_disk import converted, judged, look
from tests.packing_on_disk import FORMS, FUSED, MXFP4, is_expert, read_packed, rewrite, write


@pytest.mark.parametrize("name", FORMS)
def test_every_value_is_read_as_it_was_packed(name: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[name], tmp_path)
    tensors = SourceTensors(made.packed, look(made.packed).checkpoint)
    for key, value in made.values.items():
        found = tensors.floats(key, 0, len(value))
        assert found.view(np.uint32).tolist() == value.view(np.uint32).tolist(), key
        assert np.array_equal(tensors.floats(key, 3, 9), value[3:9])


@pytest.mark.parametrize("name", FUSED)
def test_every_expert_of_a_stack_is_read_by_itself(name: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/v5", FUSED[name], tmp_path)
    tensors = SourceTensors(made.packed, look(made.packed).checkpoint)
    for part in ("gate_up_proj", "down_proj"):
        key = f"model.layers.1.mlp.experts.{part}"
        assert np.array_equal(tensors.floats(key, 2, 5), made.values[key][2:5])
        assert np.array_equal(tensors.floats(key, 7, 8), made.values[key][7:8])


def test_gpt_oss_blocks_are_read_as_they_were_packed(tmp_path: Path) -> None:
    made = write("gpt_oss/hub", MXFP4, tmp_path, is_expert)
    tensors = SourceTensors(made.packed, look(made.packed).checkpoint)
    key = "model.layers.0.mlp.experts.gate_up_proj"
    assert np.array_equal(tensors.floats(key, 1, 3).swapaxes(1, 2), made.values[key][1:3])


def test_every_packing_that_is_converted_is_also_judged() -> None:
    assert DECODERS.keys() == unpacking.UNPACK.keys()


def test_e8m0_is_a_power_of_two_and_its_last_code_is_nan() -> None:
    values = scale_values(np.array([0, 1, 127, 254, 255], np.uint8), "F8_E8M0")
    assert values[:4].tolist() == [2.0**-127, 2.0**-126, 1.0, 2.0**127]
    assert np.isnan(values[4])


@pytest.mark.parametrize("name", ["gptq in order", "pack-quantized int4 in order"])
def test_an_order_that_names_a_group_that_there_is_not_is_refused(name: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[name], tmp_path)
    key = "model.layers.0.mlp.experts.1.gate_proj"
    ending = ".g_idx" if "gptq" in name else ".weight_g_idx"
    stored = read_packed(made.packed)
    order = stored[key + ending][1].copy()
    order[0] = 99
    rewrite(made.packed, {**stored, key + ending: ("I32", order)})
    tensors = SourceTensors(made.packed, look(made.packed).checkpoint)
    with pytest.raises(ValueMismatch, match=key):
        tensors.floats(f"{key}.weight", 0, 8)


def _without_scales(packed: Packed, block: Block, dtypes: Any) -> Any:
    ones = np.ones(block.parts["scale"].shape, np.float32).view(np.uint32)
    changed = dataclasses.replace(block, parts={**block.parts, "scale": ones})
    return unpacking._fp8(packed, changed, {**dtypes, "scale": "F32"})


def _multiplied(packed: Packed, block: Block, dtypes: Any) -> Any:
    return unpacking._multiplied(packed, block, dtypes)


def _fp8_turned(packed: Packed, block: Block, dtypes: Any) -> Any:
    scales = np.ascontiguousarray(block.parts["scale"][:, ::-1])
    return unpacking._fp8(packed, dataclasses.replace(block, parts={**block.parts, "scale": scales}), dtypes)


WRONG: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "fp8 codes taken for weights": ("fp8 blocks", "fp8", _without_scales),
    "fp8 scales of other blocks": ("fp8 blocks", "fp8", _fp8_turned),
    "a dividing scale that multiplies": ("nvfp4-pack-quantized", "nvfp4-pack-quantized", _multiplied),
}


@pytest.mark.parametrize(("form", "packing", "unpack"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("variant", ["bf16", "4bit"])
def test_a_wrong_reading_of_a_packing_is_refused(
    form: str,
    packing: str,
    unpack: Callable[..., Any],
    variant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = look(write("qwen3_moe/orig", FORMS[form], tmp_path).packed)
    with monkeypatch.context() as patched:
        patched.setattr(unpacking, "UNPACK", {**unpacking.UNPACK, packing: unpack})
        folder = converted(source, tmp_path / "a", variant)[variant]
    report = judged(source, folder)
    assert report.verdict == "refused"
    assert any(finding.gate == "values" and finding.status == "fail" for finding in report.findings)


@pytest.mark.parametrize("variant", ["bf16", "4bit"])
def test_awq_outputs_in_the_order_of_their_bits_are_refused(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = look(write("qwen3_moe/orig", FORMS["awq"], tmp_path).packed)
    with monkeypatch.context() as patched:
        patched.setattr(bit_packing, "AWQ_PLACES", (0, 1, 2, 3, 4, 5, 6, 7))
        folder = converted(source, tmp_path / "a", variant)[variant]
    assert judged(source, folder).verdict == "refused"


def test_gptq_zero_points_without_the_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = look(write("qwen3_moe/orig", FORMS["gptq"], tmp_path).packed)
    zeros = integers._zeros

    def stored(packed: Packed, block: Block, scales: Any) -> Any:
        return zeros(dataclasses.replace(packed, zero=0), block, scales)

    with monkeypatch.context() as patched:
        patched.setattr(integers, "_zeros", stored)
        folder = converted(source, tmp_path / "a", "bf16")["bf16"]
    assert judged(source, folder).verdict == "refused"
    shutil.rmtree(folder)
