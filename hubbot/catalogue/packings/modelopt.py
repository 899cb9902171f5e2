"""NVIDIA ModelOpt: NVFP4 with `weight_scale` and a multiplying `weight_scale_2`, and FP8 with `weight_scale`.

Declared in config.json or in hf_quant_config.json. Sources: NVIDIA/Model-Optimizer's unified checkpoint export;
vllm-project/vllm model_executor/layers/quantization/modelopt.py.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings import fp8, nvfp4
from hubbot.catalogue.packings.rule import Found, Packing, activations, refused
from hubbot.checkpoints import Checkpoint
from hubbot.errors import UnknownPacking

METHOD = "modelopt"
FP8 = "modelopt-fp8"
# Whatever an algorithm does to activations is no matter of the weights.
ALGORITHMS = frozenset({"NVFP4", "W4A16_NVFP4", "W4A8_NVFP4_FP8", "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "MXFP8"})
MIXED = "MIXED_PRECISION"
ROWS = (
    Packing(
        key=nvfp4.MULTIPLIED,
        method=METHOD,
        naming="`weight` bytes of two e2m1 codes, e4m3 `weight_scale` for 16, multiplying `weight_scale_2`",
        example="model.layers.3.mlp.experts.0.gate_proj.weight_scale_2",
        source="vllm-project/vllm model_executor/layers/quantization/modelopt.py",
    ),
    Packing(
        key=FP8,
        method=METHOD,
        naming="e4m3 `weight` with `weight_scale` per tensor or channel",
        example="model.layers.3.mlp.experts.0.gate_proj.weight_scale",
        source="vllm-project/vllm model_executor/layers/quantization/modelopt.py",
    ),
)


def method(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the packed tensors of a ModelOpt checkpoint."""
    nested = block.get("quantization")
    said = {**block, **nested} if isinstance(nested, Mapping) else block
    algorithms = _algorithms(said)
    unknown = next((name for name in algorithms if name not in ALGORITHMS), None)
    if unknown is not None or not algorithms:
        raise refused(
            checkpoint,
            f"ModelOpt's quant_algo {str(unknown)[:60]!r} is not read",
            f"algorithms that are read: {', '.join(sorted(ALGORITHMS))}",
        )
    tensors = checkpoint.tensors
    scaled = next((name for name in tensors if name.endswith("pre_quant_scale")), None)
    if scaled is not None:
        raise UnknownPacking("the inputs are scaled before the weights (AWQ), which is not read", where=scaled)
    packed = []
    for tensor in tensors.values():
        if tensor.name.endswith("_scale"):
            continue
        if tensor.dtype == "U8":
            packed.append(nvfp4.pair(tensor, tensors, tensor.name, nvfp4.MULTIPLIED))
        elif tensor.dtype == fp8.CODES:
            block_size = fp8.MX_BLOCK if "MXFP8" in algorithms else "tensor"
            packed.append(fp8.pair(tensor, tensors, block_size, FP8))
    return Found(packed=tuple(packed), dropped=activations(checkpoint))


def _algorithms(said: Mapping[str, Any]) -> frozenset[str]:
    named = said.get("quant_algo")
    layers = said.get("quantized_layers")
    if named == MIXED and isinstance(layers, Mapping):
        found = (layer.get("quant_algo") for layer in layers.values() if isinstance(layer, Mapping))
        return frozenset(str(name) for name in found)
    return frozenset({str(named)}) if named else frozenset()
