"""fp8 weights (e4m3) with a scale per block, channel, expert or tensor; also fused experts.

Sources: deepseek-ai/DeepSeek-V3's fp8 weights README (weight_scale_inv multiplies, 128 x 128 blocks, ragged
edges); transformers 5.23 integrations/finegrained_fp8 (fused `_scale_inv`, `.scale`, `.qscale_weight`, block
sizes told by the grid, e8m0 scales, two e2m1 codes a byte) and integrations/fbgemm_fp8 (`_scale` per channel);
vllm models/deepseek_v4/quant_config.py (experts that ModelOpt packed as NVFP4).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hubbot.catalogue.packings import mxfp4, nvfp4
from hubbot.catalogue.packings.rule import FLOAT_SCALES, Found, Packing, activations, refused
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover, UnknownPacking
from hubbot.moves import Packed, Part

KEY, MXFP8 = "fp8", "mxfp8"
CODES = "F8_E4M3"
MX_BLOCK = (1, 32)
E8M0 = frozenset({"F8_E8M0", "U8"})
ROWS = (
    Packing(
        key=KEY,
        method="fp8",
        naming="e4m3 `weight` with `weight_scale_inv` per block, channel or tensor; fused `*_scale_inv`; `.scale`",
        example="model.layers.3.mlp.experts.0.gate_proj.weight_scale_inv",
        source="transformers 5.23 integrations/finegrained_fp8.py, Fp8Dequantize; deepseek-ai/DeepSeek-V3",
    ),
    Packing(
        key=KEY,
        method="fbgemm_fp8",
        naming="e4m3 `weight` with `weight_scale` per channel; fused `*_proj_scale`",
        example="model.layers.1.feed_forward.experts.gate_up_proj_scale",
        source="transformers 5.23 integrations/fbgemm_fp8.py",
    ),
    Packing(
        key=KEY,
        method=MXFP8,
        naming="e4m3 `weight` with `weight_scale_inv` as e8m0, or its bytes as U8, for 32 inputs",
        example="model.layers.3.mlp.experts.0.gate_proj.weight_scale_inv",
        source="transformers 5.24 quantizers/auto.py (mxfp8) and integrations/finegrained_fp8.py, Fp8Dequantize",
    ),
    Packing(
        key=nvfp4.MULTIPLIED,
        method="fp8",
        naming="fp8 as above, and experts as ModelOpt's nvfp4 where moe_quant_algo says NVFP4",
        example="layers.3.ffn.experts.0.w1.weight_scale_2",
        source="vllm-project/vllm models/deepseek_v4/quant_config.py; NVIDIA/Model-Optimizer",
    ),
)


def method(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the fp8 tensors of a checkpoint, and experts in fp4 beside them."""
    tensors = checkpoint.tensors
    size = block.get("weight_block_size")
    packed = _nvfp4(checkpoint, block)
    # The scales of NVFP4 are e4m3, too.
    scales = {part.tensor for experts in packed for part in experts.parts.values()}
    codes = (tensor for tensor in tensors.values() if tensor.dtype == CODES and tensor.name not in scales)
    packed += [pair(tensor, tensors, size, KEY) for tensor in codes]
    packed += [_fp4(tensor, tensors) for tensor in tensors.values() if tensor.dtype == "I8"]
    return Found(packed=tuple(packed), dropped=activations(checkpoint))


def mxfp8(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the fp8 tensors of a checkpoint whose scales stand for 32 inputs where nothing else is said."""
    return method(checkpoint, {"weight_block_size": list(MX_BLOCK), **block})


def pair(weight: TensorInfo, tensors: Mapping[str, TensorInfo], block: object, key: str) -> Packed:
    """Return an fp8 weight with its scale in blocks of [rows, columns] `block` (None: the grid tells).

    IncompleteCover where there is no scale or it does not fit.
    """
    scale = _scale_of(weight, tensors)
    if scale.dtype not in FLOAT_SCALES | E8M0:
        raise UnknownPacking(f"{scale.name!r} is stored as {scale.dtype}", where=scale.shard)
    rows, columns = _blocks(weight, scale, block)
    return Packed(
        name=weight.name,
        packing=key,
        shape=weight.shape,
        parts={"weight": Part(tensor=weight.name, rows=1), "scale": Part(tensor=scale.name, rows=rows)},
        rows=rows,
        columns=columns,
    )


def _scale_of(weight: TensorInfo, tensors: Mapping[str, TensorInfo]) -> TensorInfo:
    stem = weight.name.removesuffix(".weight")
    names = [f"{weight.name}{ending}" for ending in ("_scale_inv", "_scale", "_weight_scale")]
    names += [f"{stem}.{ending}" for ending in ("scale_inv", "scale", "qscale_weight")]
    found = [tensors[name] for name in names if name in tensors]
    if not found:
        raise IncompleteCover(
            f"fp8 weight {weight.name!r} has no scale",
            where=weight.shard,
            hint=f"expected {names[0]!r}; without it the weights would be off by a factor",
        )
    return found[0]


def _blocks(weight: TensorInfo, scale: TensorInfo, block: object) -> tuple[int, int]:
    """Return (rows, columns) that share a scale; 0 stands for all of a matrix."""
    if len(weight.shape) < 2:
        raise UnknownPacking(f"{weight.name!r} {list(weight.shape)} is no matrix, but stored as {weight.dtype}")
    *lead, height, width = weight.shape
    shape = scale.shape
    if math.prod(shape) == 1 or (lead and math.prod(shape) == math.prod(lead) and shape[0] == lead[0]):
        return 0, 0
    grid = shape[len(lead) :] if shape[: len(lead)] == tuple(lead) else None
    if grid in {(height,), (height, 1)}:
        return 1, 0
    if grid == (1, width):
        return 0, 1
    sizes = _sizes(block, (height, width), grid)
    if grid is None or sizes is None or grid != (math.ceil(height / sizes[0]), math.ceil(width / sizes[1])):
        raise IncompleteCover(
            f"scale {scale.name!r} {list(shape)} does not fit {weight.name!r} {list(weight.shape)} "
            f"in blocks of {block}",
            where=scale.shard,
            hint="the quantization config says how many rows and columns share a scale",
        )
    return sizes


def _sizes(block: object, matrix: tuple[int, int], grid: Sequence[int] | None) -> tuple[int, int] | None:
    if isinstance(block, list | tuple) and len(block) == 2 and all(isinstance(n, int) and n > 0 for n in block):
        return block[0], block[1]
    if block is None and grid is not None and len(grid) == 2 and min(grid) > 0:
        # transformers works block sizes out from the grid; a ragged one is not unique.
        rows, columns = matrix[0] // grid[0], matrix[1] // grid[1]
        return (rows, columns) if (rows * grid[0], columns * grid[1]) == matrix else None
    return None


def _nvfp4(checkpoint: Checkpoint, block: Mapping[str, Any]) -> list[Packed]:
    """Return the experts that ModelOpt packed as NVFP4, where the block says so."""
    said = block.get("moe_quant_algo")
    if said is None:
        return []
    if said != "NVFP4":
        raise refused(checkpoint, f"moe_quant_algo {str(said)[:60]!r} is not read", "beside fp8, NVFP4 is")
    tensors = checkpoint.tensors
    codes = (each for each in tensors.values() if each.dtype == "U8" and each.name.endswith(".weight"))
    return [nvfp4.pair(tensor, tensors, tensor.name, nvfp4.MULTIPLIED) for tensor in codes]


def _fp4(weight: TensorInfo, tensors: Mapping[str, TensorInfo]) -> Packed:
    return mxfp4.pair(weight, _scale_of(weight, tensors), weight.name, mxfp4.KEY)
