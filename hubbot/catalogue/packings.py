"""How quantized weights are spelled on disk. This version unpacks none of them; it recognises and names them.

Sources: transformers 5.23 quantizers/*, NVIDIA ModelOpt's hf_quant_config.json, AutoAWQ and GPTQModel.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hubbot.checkpoints import FLOAT_DTYPES, TensorInfo

UNPACKED = "none"
# Endings of tensors that only exist beside packed weights.
SCALE_ENDINGS: Mapping[str, str] = {
    ".weight_scale_inv": "fp8 block",
    "_scale_inv": "fp8 block, fused",
    ".activation_scale": "fp8 block",
    ".qscale_weight": "fp8 per tensor",
    ".weight_packed": "compressed-tensors",
    ".weight_zero_point": "compressed-tensors",
    ".weight_global_scale": "compressed-tensors nvfp4",
    ".weight_scale": "compressed-tensors or ModelOpt",
    ".weight_scale_2": "ModelOpt nvfp4",
    "_blocks": "mxfp4",
    ".qweight": "awq or gptq",
    ".qzeros": "awq or gptq",
    ".scales": "mlx or awq or gptq",
    ".global_scale": "mlx nvfp4",
}


def quant_method(config: Mapping[str, Any]) -> str | None:
    """Return the quantization method that a config declares, top level or in text_config, or None."""
    for part in (config, config.get("text_config")):
        if not isinstance(part, Mapping):
            continue
        for key in ("quantization_config", "quantization"):
            block = part.get(key)
            if isinstance(block, Mapping) and block:
                return str(block.get("quant_method") or block.get("mode") or key)
    return None


def signs(tensors: Iterable[TensorInfo]) -> dict[str, str]:
    """Return tensor name -> reason for every tensor that only a packed checkpoint has."""
    found: dict[str, str] = {}
    for tensor in tensors:
        ending = next((e for e in SCALE_ENDINGS if tensor.name.endswith(e)), None)
        if ending:
            found[tensor.name] = f"{SCALE_ENDINGS[ending]} ({ending})"
        elif tensor.dtype not in FLOAT_DTYPES:
            found[tensor.name] = f"stored as {tensor.dtype}"
    return found
