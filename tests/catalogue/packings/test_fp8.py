"""nvidia/DeepSeek-V4-Flash-NVFP4: fp8 blocks, experts that ModelOpt packed as NVFP4, further tokens as DeepSeek's.

Names, dtypes and both files of settings as NVIDIA's repo has them; vllm models/deepseek_v4/quant_config.py.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.errors import NeedsHuman
from tests.checkpoints_on_disk import Source, converted, edit_json, judged, look, planned, read_folder
from tests.packers import by_name, fp8_block, nvfp4
from tests.packing_on_disk import Form, Written, read_packed, rewrite, safetensors_of, write
from tests.reference.checkpoints import Floats
from tests.reference.packing import V4_EXPERTS, V4_PROJECTIONS

EXPERT = "layers.3.ffn.experts.2.w1"
LAYERS = {f"layers.{layer}.ffn.experts": {"quant_algo": "NVFP4", "group_size": 16} for layer in range(5)}
PRODUCER = {"name": "modelopt", "version": "dsv4-nvfp4-experts"}
SETTINGS: dict[str, Any] = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "group_size": 16,
    "ignore": ["*.attn.*", "*.ffn.shared_experts.*", "head", "mtp.*"],
    "kv_cache_quant_algo": None,
    "moe_quant_algo": "NVFP4",
    "producer": PRODUCER,
    "quant_algo": "MIXED_PRECISION",
    "quant_method": "fp8",
    "quantized_layers": LAYERS,
    "scale_fmt": "ue8m0",
    "weight_block_size": [128, 128],
}
NVIDIA = Form(
    config=SETTINGS,
    pack=by_name({".ffn.experts.": nvfp4(divides=False)}, fp8_block((128, 128), scale="F8_E8M0", ending=".scale")),
)
# The file beside config.json, which names no quant_method.
BESIDE = {
    "producer": PRODUCER,
    "quantization": {
        "quant_algo": "MIXED_PRECISION",
        "kv_cache_quant_algo": None,
        "group_size": 16,
        "quantized_layers": LAYERS,
        "exclude_modules": SETTINGS["ignore"],
    },
}


def is_packed(name: str, _value: Floats) -> bool:
    return re.fullmatch(f"{V4_PROJECTIONS}|{V4_EXPERTS}", name) is not None


def nvidias(folder: Path) -> Written:
    """A small DeepSeek-V4 as NVIDIA stores it, and the same values unpacked."""
    made = write("deepseek_v4/orig", NVIDIA, folder, is_packed)
    stored = read_packed(made.packed)
    further = "mtp.0.ffn.experts.0.w1"
    stored[f"{further}.weight"] = ("I8", np.ones((64, 64), np.int8))
    stored[f"{further}.scale"] = ("F8_E8M0", np.full((64, 4), 127, np.uint8))
    (made.packed / "model.safetensors").write_bytes(safetensors_of(stored))
    edit_json(made.packed / "config.json", num_nextn_predict_layers=1)
    (made.packed / "hf_quant_config.json").write_text(json.dumps(BESIDE))
    return made


def test_nvidias_deepseek_v4_is_converted_with_proof_to_the_same_as_unpacked(tmp_path: Path) -> None:
    made = nvidias(tmp_path)
    packed, plain = look(made.packed), look(made.plain)
    assert packed.layout.packing == "fp8+modelopt-nvfp4+mxfp4"
    dropped = {drop.name for drop in planned(packed, "fp32").drops}
    assert {"mtp.0.ffn.experts.0.w1.weight", f"{EXPERT}.input_scale"} <= dropped

    def tensors(source: Source, out: str) -> Any:
        folder = converted(source, tmp_path / out, "fp32")["fp32"]
        assert judged(source, folder).verdict == "approved"
        return read_folder(folder)

    one, other = tensors(packed, "from packed"), tensors(plain, "from plain")
    assert one.keys() == other.keys()
    for name, (dtype, bits) in other.items():
        assert one[name][0] == dtype, name
        np.testing.assert_array_equal(one[name][1], bits, err_msg=name)


@pytest.mark.parametrize("part", ["weight", "weight_scale", "weight_scale_2"])
def test_an_expert_in_nvfp4_beside_fp8_that_lacks_a_part_is_refused_by_name(part: str, tmp_path: Path) -> None:
    made = nvidias(tmp_path)
    stored = read_packed(made.packed)
    del stored[f"{EXPERT}.{part}"]
    rewrite(made.packed, stored)
    with pytest.raises(NeedsHuman, match=EXPERT.replace(".", r"\.")):
        look(made.packed)


@pytest.mark.parametrize("said", ["IQ3_WIRE", None])
def test_experts_packed_in_another_way_than_is_read_are_refused_by_its_name(
    said: str | None, tmp_path: Path
) -> None:
    made = nvidias(tmp_path)
    rewrite(made.packed, read_packed(made.packed), moe_quant_algo=said)
    with pytest.raises(NeedsHuman, match=said or r"layers\.\d\.ffn\.experts\.\d\.w\d"):
        look(made.packed)


def test_a_file_of_modelopt_still_contradicts_fp8_that_modelopt_did_not_make(tmp_path: Path) -> None:
    made = nvidias(tmp_path)
    rewrite(made.packed, read_packed(made.packed), producer=None)
    with pytest.raises(NeedsHuman, match=r"config\.json says quant_method 'fp8', hf_quant_config\.json"):
        look(made.packed)
