"""nvfp4: two e2m1 codes a byte, one e4m3 scale for 16 of them, one float32 for the whole tensor.

compressed-tensors divides by the tensor's number, ModelOpt multiplies by it; which of the two is the packing's
key, never guessed. Its rows are those of the two methods.
"""

import math
from collections.abc import Mapping

from hubbot.catalogue.packings.rule import misfit, needed
from hubbot.checkpoints import TensorInfo
from hubbot.moves import Packed, Part

GROUP = 16
DIVIDED, MULTIPLIED = "nvfp4-pack-quantized", "modelopt-nvfp4"
WHOLE: Mapping[str, str] = {DIVIDED: "_global_scale", MULTIPLIED: "_scale_2"}


def pair(codes: TensorInfo, tensors: Mapping[str, TensorInfo], name: str, key: str) -> Packed:
    """Return the logical tensor `name` of `codes` [..., rows, columns / 2]; IncompleteCover where a part lacks."""
    scales, whole = (needed(tensors, _ending(tensors, name, end), codes) for end in ("_scale", WHOLE[key]))
    *lead, half = codes.shape
    fits = len(codes.shape) > 1 and scales.shape == (*lead, 2 * half // GROUP) and 2 * half % GROUP == 0
    if not fits or codes.dtype != "U8" or scales.dtype != "F8_E4M3":
        raise misfit(codes, scales, told="nvfp4 has two codes a byte and an e4m3 scale for 16")
    experts = codes.shape[0] if len(codes.shape) > 2 else 1
    if whole.dtype != "F32" or math.prod(whole.shape) not in {1, experts}:
        raise misfit(codes, whole, told="nvfp4 has one float32 for a tensor, or one for an expert")
    return Packed(
        name=name,
        packing=key,
        shape=(*lead, 2 * half),
        parts={
            "codes": Part(tensor=codes.name, rows=1),
            "scale": Part(tensor=scales.name, rows=1),
            "whole": Part(tensor=whole.name, rows=0),
        },
        rows=1,
        columns=GROUP,
        bits=4,
    )


def _ending(tensors: Mapping[str, TensorInfo], name: str, ending: str) -> str:
    """Return the name of a part; fused experts have no ".weight", which ModelOpt then puts into the ending."""
    glued = f"{name}_weight{ending}"
    return glued if glued in tensors else name + ending
