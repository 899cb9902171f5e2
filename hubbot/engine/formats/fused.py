"""Quantization by compiled loops: rooms are made, pointers handed over, the stored parts returned.

The loops are fused_affine.py and fused_microscaling.py; it imports neither, and no numba.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import NotFinite, convert_dtype, from_float32
from hubbot.engine.formats import microscaling as definition
from hubbot.native.machine_code import Loops, load

Array = npt.NDArray[Any]
# Elements at a time: their floats and codes stay in the first cache.
BLOCK: Final = 2048
SMALLEST_GROUP: Final = 16
HALF: Final = 1  # float16, whose exponent is biased otherwise
BRAIN: Final = 2  # bfloat16, the upper half of a float32
SINGLE: Final = 3
MXFP4: Final = 1
MXFP8: Final = 2
NVFP4: Final = 3
_KINDS: Final = {"F16": HALF, "BF16": BRAIN, "F32": SINGLE}
_MODES: Final = {"mxfp4": MXFP4, "mxfp8": MXFP8, "nvfp4": NVFP4}
# Of the codes of every width in one buffer.
_ALIGNMENT: Final = 64
LOOPS: Final = Loops(
    name="quantizer",
    functions={
        "hubbot.engine.formats.fused_affine.affine": "p iiii pp i p i ppppp",
        "hubbot.engine.formats.fused_microscaling.microscaling": "p iii p ii pppppp",
    },
)


@cache
def _loaded() -> tuple[Callable[..., int], Callable[..., int]]:
    found = load(LOOPS)
    return found["affine"], found["microscaling"]


def prepare() -> None:
    """Load the loops, compiled if need be; raises as `machine_code.load` does."""
    _loaded()


def quantize_affine(
    raw: Array, dtype: str, *, group_size: int, widths: Sequence[int], scale_dtype: str
) -> list[dict[str, Array]]:
    """Return what `affine.quantize` returns; raises NotFinite for NaN or infinity."""
    if scale_dtype == "F16":
        raw, dtype = convert_dtype(raw, dtype, scale_dtype), scale_dtype
    flat = np.ascontiguousarray(raw).reshape(-1)
    sizes = [flat.size * bits // 8 for bits in widths]
    starts = np.cumsum([0, *(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes)], dtype=np.int64)
    out = np.empty(starts[-1], np.uint8)
    scales = np.empty((len(widths), flat.size // group_size), np.float32)
    biases = np.empty_like(scales)
    each = np.array(widths, np.int64)
    floats, codes = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint8)
    edges = np.empty((3, BLOCK // SMALLEST_GROUP), np.float32)
    affine, _ = _loaded()
    bad = affine(
        flat.ctypes.data, flat.size, _KINDS[dtype], scale_dtype == "BF16", group_size, each.ctypes.data,
        starts.ctypes.data, each.size, out.ctypes.data, out.size, scales.ctypes.data, biases.ctypes.data,
        floats.ctypes.data, codes.ctypes.data, edges.ctypes.data,
    )  # fmt: skip
    if bad >= 0:
        raise NotFinite
    *lead, width = raw.shape
    groups = (*lead, width // group_size)
    return [
        {
            "weight": out[start : start + size].view(np.uint32).reshape(*lead, width * bits // 32),
            "scales": from_float32(scales[number], scale_dtype).reshape(groups),
            "biases": from_float32(biases[number], scale_dtype).reshape(groups),
        }
        for number, (bits, start, size) in enumerate(zip(widths, starts, sizes, strict=False))
    ]


def quantize_microscaling(
    raw: Array, dtype: str, *, mode: str, largest: npt.NDArray[np.float32] | None = None
) -> dict[str, Array]:
    """Return what `microscaling.quantize` returns; raises NotFinite for NaN or infinity."""
    bits, size = definition.SHAPES[mode]
    flat = np.ascontiguousarray(raw).reshape(-1)
    out = np.empty(flat.size * bits // 8, np.uint8)
    scales = np.empty(flat.size // size, np.uint8)
    factors = np.ascontiguousarray(definition.tensor_factors(largest))
    each = max(1, scales.size // max(1, factors.size))
    floats, codes = np.empty((2, BLOCK), np.float32), np.empty(BLOCK, np.uint8)
    edges = np.empty((2, BLOCK // SMALLEST_GROUP), np.float32)
    _, microscaling = _loaded()
    bad = microscaling(
        flat.ctypes.data, flat.size, _KINDS[dtype], _MODES[mode], factors.ctypes.data, factors.size, each,
        definition.E4M3_VALUES.ctypes.data, out.ctypes.data, scales.ctypes.data, floats.ctypes.data,
        codes.ctypes.data, edges.ctypes.data,
    )  # fmt: skip
    if bad >= 0:
        raise NotFinite
    *lead, width = raw.shape
    return {
        "weight": out.view(np.uint32).reshape(*lead, width * bits // 32),
        "scales": scales.reshape(*lead, width // size),
    }
