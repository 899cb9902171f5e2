"""fp8 weights (e4m3) with a scale per block, per output channel or per tensor; also fused experts.

Sources: deepseek-ai/DeepSeek-V3's fp8 weights README (weight_scale_inv multiplies, 128 x 128 blocks, ragged
edges), transformers 5.23 quantizers/quantizer_finegrained_fp8 (`gate_up_proj_scale_inv` for fused experts).
"""

import math
from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings.rule import Found
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover, UnknownPacking
from hubbot.moves import Packed, Part

PACKING = "fp8"
CODES = "F8_E4M3"
SCALE_DTYPES = frozenset({"F32", "BF16", "F16", "F8_E8M0"})
# Scales of what is computed at inference, not of weights.
ACTIVATIONS = (".activation_scale", ".input_scale", ".k_scale", ".v_scale", ".k_proj.output_scale")
ACTIVATION_REASON = "a scale of activations for arithmetic in fp8; the converted model computes in its own dtype"


def METHOD(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:  # noqa: N802  a row of METHODS
    """Return the fp8 tensors of a checkpoint."""
    tensors = checkpoint.tensors
    dropped = {name: ACTIVATION_REASON for name in tensors if name.endswith(ACTIVATIONS)}
    packed = tuple(pair(tensor, tensors, block) for tensor in tensors.values() if tensor.dtype == CODES)
    return Found(packed=packed, dropped=dropped)


def pair(weight: TensorInfo, tensors: Mapping[str, TensorInfo], block: Mapping[str, Any]) -> Packed:
    """Return an fp8 weight with its scale; IncompleteCover where there is none or it does not fit."""
    stem = weight.name.removesuffix(".weight")
    names = (f"{weight.name}_scale_inv", f"{weight.name}_scale", f"{stem}.scale_inv", f"{stem}.scale")
    scale = next((tensors[name] for name in names if name in tensors), None)
    if scale is None:
        raise IncompleteCover(
            f"fp8 weight {weight.name!r} has no scale",
            where=weight.shard,
            hint=f"expected {names[0]!r}; without it the weights would be off by a factor",
        )
    if scale.dtype not in SCALE_DTYPES:
        raise UnknownPacking(f"{scale.name!r} is stored as {scale.dtype}", where=scale.shard)
    rows, columns = _blocks(weight, scale, block)
    return Packed(
        name=weight.name,
        packing=PACKING,
        shape=weight.shape,
        parts={"weight": Part(tensor=weight.name, rows=1), "scale": Part(tensor=scale.name, rows=rows)},
        rows=rows,
        columns=columns,
    )


def _blocks(weight: TensorInfo, scale: TensorInfo, block: Mapping[str, Any]) -> tuple[int, int]:
    """Return (rows, columns) that share a scale; 0 stands for all of a matrix."""
    *lead, height, width = weight.shape if len(weight.shape) > 1 else (1, *weight.shape)
    shape = scale.shape
    if math.prod(shape) == 1 or (lead and math.prod(shape) == math.prod(lead) and shape[0] == lead[0]):
        return 0, 0
    own = shape[len(lead) :] if shape[: len(lead)] == tuple(lead) else None
    if own is not None and own in {(height,), (height, 1)}:
        return 1, 0
    said = block.get("weight_block_size")
    sizes = [int(size) for size in said] if isinstance(said, list | tuple) and len(said) == 2 else []
    fits = own is not None and len(sizes) == 2 and min(sizes) > 0
    if not fits or own != (math.ceil(height / sizes[0]), math.ceil(width / sizes[1])):
        raise IncompleteCover(
            f"scale {scale.name!r} {list(shape)} does not fit {weight.name!r} {list(weight.shape)} "
            f"in blocks of {said}",
            where=scale.shard,
            hint="quantization_config.weight_block_size says how many rows and columns share a scale",
        )
    return sizes[0], sizes[1]
