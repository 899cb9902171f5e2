"""How quantized weights are spelled on disk: which stored tensors together are one logical tensor.

Each packing is a rule on whole names, dtypes and shapes. Every scale must belong to a weight and every packed
weight must have its scales; what no rule knows is refused by name. Nothing here touches a weight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hubbot.catalogue.packings import autoround, compressed, fp8, gptq, mlx, modelopt, mxfp4, sidecars
from hubbot.catalogue.packings.rule import Found, Method, Packing
from hubbot.checkpoints import FLOAT_DTYPES, Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover, UnknownPacking
from hubbot.moves import Packed

UNPACKED = "none"
# quant_method, as config.json or hf_quant_config.json declares it -> the rules that read such checkpoints.
METHODS: Mapping[str, Method] = {
    "fp8": fp8.method,
    "fbgemm_fp8": fp8.method,
    fp8.MXFP8: fp8.mxfp8,
    "mxfp4": mxfp4.method,
    "compressed-tensors": compressed.method,
    "modelopt": modelopt.method,
    "gptq": gptq.gptq,
    "awq": gptq.awq,
    autoround.METHOD: autoround.method,
    mlx.METHOD: mlx.method,
}
# What those rules read, row by row.
PACKINGS: tuple[Packing, ...] = (
    *fp8.ROWS, *mxfp4.ROWS, *compressed.ROWS, *modelopt.ROWS, *gptq.ROWS, *autoround.ROWS,
)  # fmt: skip
# Endings of tensors that only exist beside packed weights, and what they are a sign of.
SIGNS: Mapping[str, str] = {
    ".weight_scale_inv": "fp8 block",
    "_scale_inv": "fp8 block, fused",
    ".activation_scale": "fp8 block",
    ".qscale_weight": "fp8 per tensor",
    ".weight_packed": "compressed-tensors",
    ".weight_zero_point": "compressed-tensors",
    ".weight_shape": "compressed-tensors",
    ".weight_global_scale": "compressed-tensors nvfp4",
    ".weight_scale": "compressed-tensors or ModelOpt",
    ".weight_scale_2": "ModelOpt nvfp4",
    "_blocks": "mxfp4",
    ".qweight": "awq or gptq",
    ".qzeros": "awq or gptq",
    ".scales": "mlx or awq or gptq",
    ".global_scale": "mlx nvfp4",
}
# Integers that no packing stores weights in: tables of token ids, buffers, masks.
TABLES = frozenset({"I64", "BOOL"})
_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A checkpoint as if nothing were packed: `checkpoint` holds logical tensors, `packed` how some are stored.

    `dropped` names stored tensors that are not part of any weight, with the reason.
    """

    checkpoint: Checkpoint
    packed: Mapping[str, Packed]
    dropped: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the packings in use, or "none"."""
        return "+".join(sorted({packed.packing for packed in self.packed.values()})) or UNPACKED


def unpacked(checkpoint: Checkpoint) -> Unpacked:
    """Return the logical checkpoint; UnknownPacking or IncompleteCover name the tensor that no rule explains."""
    method = quant_method(checkpoint.config)
    found_signs = signs(checkpoint.tensors.values())
    if method is None and not found_signs:
        return Unpacked(checkpoint=checkpoint, packed={}, dropped={})
    rules = METHODS.get(sidecars.canonical(method or ""))
    if rules is None:
        raise _unknown(checkpoint, method, found_signs)
    found = rules(checkpoint, quantization(checkpoint.config))
    rest = _rest(checkpoint, found)
    left = signs(rest.values())
    if left:
        name, sign = next(iter(left.items()))
        raise IncompleteCover(
            f"{name!r} ({sign}) belongs to no packed weight",
            where=f"{checkpoint.repo.id}, {rest[name].shard}",
            hint="a scale without its weight, or a packed weight without its scale",
        )
    if not found.packed:
        raise UnknownPacking(
            f"the config declares quant_method {method}, but no tensor is packed that way",
            where=checkpoint.repo.id,
        )
    twice = next((packed.name for packed in found.packed if packed.name in rest), None)
    if twice is not None:
        raise IncompleteCover(f"{twice!r} is stored both packed and as it is", where=rest[twice].shard)
    logical = {packed.name: _logical(checkpoint, packed) for packed in found.packed}
    return Unpacked(
        checkpoint=replace(checkpoint, tensors={**rest, **logical}),
        packed={packed.name: packed for packed in found.packed},
        dropped=found.dropped,
    )


def quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the quantization block of a config, top level or in text_config; empty where there is none."""
    for part in (config, config.get("text_config")):
        if not isinstance(part, Mapping):
            continue
        for key in ("quantization_config", "quantization", "compression_config"):
            block = part.get(key)
            if isinstance(block, Mapping) and block:
                return block
    return {}


def quant_method(config: Mapping[str, Any]) -> str | None:
    """Return the quantization method that a config declares, or None."""
    block = quantization(config)
    if not block:
        return None
    return mlx.METHOD if mlx.is_mlx(block) else str(block.get("quant_method") or "unnamed")


def signs(tensors: Iterable[TensorInfo]) -> dict[str, str]:
    """Return tensor name -> reason for every tensor that only a packed checkpoint has."""
    found: dict[str, str] = {}
    for tensor in tensors:
        ending = next((e for e in SIGNS if tensor.name.endswith(e)), None)
        if ending:
            found[tensor.name] = f"{SIGNS[ending]} ({ending})"
        elif tensor.dtype not in FLOAT_DTYPES | TABLES:
            found[tensor.name] = f"stored as {tensor.dtype}"
    return found


def _unknown(checkpoint: Checkpoint, method: str | None, found: Mapping[str, str]) -> UnknownPacking:
    tensor, reason = next(iter(found.items()), ("config.json", f"quant_method {method}"))
    return UnknownPacking(
        f"the weights are packed: {reason}" + (f", declared as {method}" if method and found else ""),
        where=f"{checkpoint.repo.id}, {tensor}",
        hint=f"packings that this version reads: {', '.join(METHODS)}",
    )


def _rest(checkpoint: Checkpoint, found: Found) -> dict[str, TensorInfo]:
    used = {part.tensor for packed in found.packed for part in packed.parts.values()} | set(found.dropped)
    return {name: tensor for name, tensor in checkpoint.tensors.items() if name not in used}


def _logical(checkpoint: Checkpoint, packed: Packed) -> TensorInfo:
    """Return the tensor as the layout rules see it; its dtype is the one that the model was trained in."""
    config = checkpoint.config
    said = config.get("dtype") or config.get("torch_dtype") or _of_text(config)
    *lead, rows, columns = packed.shape
    stored = checkpoint.tensors[next(iter(packed.parts.values())).tensor]
    return replace(
        stored,
        name=packed.name,
        dtype=_DTYPES.get(str(said), "BF16"),
        shape=(*lead, columns, rows) if packed.transposed else packed.shape,
    )


def _of_text(config: Mapping[str, Any]) -> Any:
    text = config.get("text_config")
    return (text.get("dtype") or text.get("torch_dtype")) if isinstance(text, Mapping) else None
