"""Which packed weights MLX stores in the very same format, so that their codes need no second rounding.

Decided from header and config alone: where only the numbers could tell, the answer is no.
"""

from hubbot.catalogue.packings import compressed, fp8, gptq, modelopt, mxfp4, nvfp4
from hubbot.moves import Packed
from hubbot.plans import Encoding

# Significant bits of a float: a zero point times a scale needs those of both.
_SIGNIFICANT = {"F32": 24, "F16": 11, "BF16": 8}
_MODES = {
    mxfp4.KEY: "mxfp4",
    compressed.MXFP4: "mxfp4",
    nvfp4.DIVIDED: "nvfp4",
    nvfp4.MULTIPLIED: "nvfp4",
    fp8.KEY: "mxfp8",
    compressed.FLOAT: "mxfp8",
    modelopt.FP8: "mxfp8",
    compressed.PACK: "affine",
    compressed.INT: "affine",
    gptq.AWQ: "affine",
    gptq.GPTQ: "affine",
}


def is_kept(packed: Packed, scale_dtype: str, encoding: Encoding) -> bool:
    """Say whether `encoding` has exactly the mode, bits and groups of a packed weight with such scales."""
    if encoding.mode != _MODES.get(packed.packing):
        return False
    if encoding.mode == "mxfp8":
        return (packed.rows, packed.columns) == (1, encoding.group_size) and scale_dtype in fp8.E8M0
    if encoding.mode == "affine":
        return _is_same_grid(packed, encoding) and _is_exact(packed, scale_dtype, encoding.dtype)
    # nvfp4's number for the whole tensor has a place only beside experts.
    return encoding.mode == "mxfp4" or encoding.global_scale


def _is_same_grid(packed: Packed, encoding: Encoding) -> bool:
    group = packed.rows if packed.transposed else packed.columns
    has_rows = packed.transposed or packed.rows == 1
    return (
        has_rows and "order" not in packed.parts and (packed.bits, group) == (encoding.bits, encoding.group_size)
    )


def _is_exact(packed: Packed, scale_dtype: str, dtype: str) -> bool:
    """Say whether scale and -zero * scale are floats of `dtype`, whatever numbers are stored."""
    if scale_dtype not in _SIGNIFICANT or dtype not in {scale_dtype, "F32"}:
        return False
    # One zero point for all is half of the range, a power of two.
    extra = packed.bits if "zeros" in packed.parts else 0
    return _SIGNIFICANT[scale_dtype] + extra <= _SIGNIFICANT[dtype]
