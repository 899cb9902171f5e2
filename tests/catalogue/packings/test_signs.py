from collections.abc import Mapping
from typing import Any

import pytest

from hubbot.catalogue.packings import quant_method, signs
from hubbot.checkpoints import TensorInfo
from tests.reference.checkpoints import case, tensors


def info(name: str, dtype: str = "BF16") -> TensorInfo:
    return TensorInfo(name=name, dtype=dtype, shape=(2,), shard="x", start=0, end=4)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (".weight_scale_inv", "fp8 block"),
        (".weight_packed", "compressed-tensors"),
        (".weight_global_scale", "nvfp4"),
        (".weight_scale", "ModelOpt"),
        (".weight_scale_2", "ModelOpt nvfp4"),
        (".qweight", "awq or gptq"),
        (".qzeros", "awq or gptq"),
        (".scales", "mlx"),
    ],
)
def test_a_tensor_that_only_a_packed_checkpoint_has_is_named_with_its_packing(ending: str, told: str) -> None:
    name = f"model.layers.0.mlp.experts.0.gate_proj{ending}"
    assert told in signs([info(name)])[name]


def test_the_blocks_of_a_stacked_mxfp4_checkpoint_are_recognised() -> None:
    name = "model.layers.0.mlp.experts.gate_up_proj_blocks"
    assert "mxfp4" in signs([info(name, "U8")])[name]


@pytest.mark.parametrize("dtype", ["F8_E4M3", "U8", "I32", "F64"])
def test_a_dtype_that_no_float_checkpoint_has_is_named(dtype: str) -> None:
    assert signs([info("model.norm.weight", dtype)]) == {"model.norm.weight": f"stored as {dtype}"}


@pytest.mark.parametrize("name", ["qwen3_moe/orig", "mixtral/v5", "glm4_moe/bf16", "gpt_oss/orig"])
def test_nothing_in_an_unpacked_checkpoint_looks_packed(name: str) -> None:
    assert signs(info(tensor) for tensor in tensors(case(name))) == {}
    assert quant_method(case(name).config) is None


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"text_config": {"quantization_config": {"quant_method": "mxfp4"}}}, "mxfp4"),
        ({"quantization": {"mode": "mxfp4", "bits": 4, "group_size": 32}}, "mlx"),
        ({"quantization_config": {"bits": 4, "group_size": 64}}, "mlx"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization": {"bits": 4}}, "unnamed"),
        ({"quantization_config": {}}, None),
        ({"quantization_config": None, "text_config": None}, None),
        ({}, None),
    ],
)
def test_a_configs_method_is_found_on_both_levels(config: Mapping[str, Any], method: str | None) -> None:
    assert quant_method(config) == method
