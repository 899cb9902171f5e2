"""compressed-tensors: `weight_packed` or 8-bit `weight` with `weight_scale` and what a format adds to them.

Source: vllm-project/compressed-tensors, compressors/pack_quantized, naive_quantized, nvfp4, mxfp4, mxfp8 and
quantization/lifecycle/forward (value = (code - zero point) * scale; a global scale divides the scale).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.catalogue.packings import fp8, mxfp4, nvfp4
from hubbot.catalogue.packings.rule import FLOAT_SCALES, Found, Packing, activations, misfit, needed, refused
from hubbot.catalogue.packings.schemes import Scheme, schemes
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover, UnknownPacking
from hubbot.moves import Packed, Part

METHOD = "compressed-tensors"
PACK, INT, FLOAT, MXFP4 = "pack-quantized", "int-quantized", "float-quantized", "mxfp4-pack-quantized"
WORD = 32
SHAPE_REASON = "the weight's shape as numbers, which its codes have too"
_SOURCE = "vllm-project/compressed-tensors, src/compressed_tensors/compressors/"
_EXPERT = "model.layers.3.mlp.experts.0.gate_proj."
ROWS = (
    Packing(
        key=PACK,
        method=METHOD,
        naming="int32 `weight_packed` along the input, `weight_scale`; `weight_zero_point`, `weight_g_idx`",
        example=f"{_EXPERT}weight_packed",
        source=f"{_SOURCE}pack_quantized",
    ),
    Packing(
        key=INT,
        method=METHOD,
        naming="int8 `weight` with `weight_scale` and perhaps `weight_zero_point`",
        example=f"{_EXPERT}weight_scale",
        source=f"{_SOURCE}naive_quantized",
    ),
    Packing(
        key=FLOAT,
        method=METHOD,
        naming="e4m3 `weight` with `weight_scale` per tensor, channel, group or block",
        example=f"{_EXPERT}weight_scale",
        source=f"{_SOURCE}naive_quantized, mxfp8",
    ),
    Packing(
        key=nvfp4.DIVIDED,
        method=METHOD,
        naming="`weight_packed` bytes of two e2m1 codes, e4m3 `weight_scale`, dividing `weight_global_scale`",
        example=f"{_EXPERT}weight_global_scale",
        source=f"{_SOURCE}nvfp4",
    ),
    Packing(
        key=MXFP4,
        method=METHOD,
        naming="`weight_packed` bytes of two e2m1 codes, e8m0 `weight_scale` for 32",
        example=f"{_EXPERT}weight_packed",
        source=f"{_SOURCE}mxfp4",
    ),
)


def method(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the packed tensors of a compressed-tensors checkpoint."""
    tensors = checkpoint.tensors
    known = schemes(checkpoint, block)
    if not known:
        raise refused(checkpoint, "no config group of compressed-tensors quantizes weights")
    packed = tuple(_of_group(tensor, tensors, known) for tensor in _codes(tensors))
    shapes = {f"{made.name}_shape": SHAPE_REASON for made in packed if f"{made.name}_shape" in tensors}
    return Found(packed=packed, dropped={**activations(checkpoint), **shapes})


def _codes(tensors: Mapping[str, TensorInfo]) -> Iterator[TensorInfo]:
    for tensor in tensors.values():
        is_weight = not tensor.name.endswith(("_scale", "_zero_point"))
        if tensor.name.endswith("_packed") or (tensor.dtype in {fp8.CODES, "I8"} and is_weight):
            yield tensor


def _of_group(codes: TensorInfo, tensors: Mapping[str, TensorInfo], known: tuple[Scheme, ...]) -> Packed:
    """Return a packed weight under the one scheme that fits it; IncompleteCover or UnknownPacking otherwise."""
    fitting: list[Packed] = []
    fault: IncompleteCover | UnknownPacking | None = None
    for scheme in known:
        try:
            fitting.append(_packed(codes, tensors, scheme))
        except (IncompleteCover, UnknownPacking) as error:
            fault = fault or error
    if not fitting:
        assert fault is not None, "there is a scheme"
        raise fault
    if any(made != fitting[0] for made in fitting):
        raise UnknownPacking(
            f"{codes.name!r} {list(codes.shape)} fits several config groups, and its shapes do not tell which",
            where=codes.shard,
        )
    return fitting[0]


def _packed(codes: TensorInfo, tensors: Mapping[str, TensorInfo], scheme: Scheme) -> Packed:
    name = codes.name.removesuffix("_packed")
    is_bytes = codes.dtype == "U8" and name != codes.name
    if scheme.is_float and scheme.bits == 8 and codes.dtype == fp8.CODES:
        return fp8.pair(codes, tensors, _block(scheme), FLOAT)
    if scheme.is_float and scheme.bits == 4 and is_bytes and scheme.group == nvfp4.GROUP:
        return nvfp4.pair(codes, tensors, name, nvfp4.DIVIDED)
    if scheme.is_float and scheme.bits == 4 and is_bytes and scheme.group == mxfp4.GROUP:
        return mxfp4.pair(codes, needed(tensors, f"{name}_scale", codes), name, MXFP4)
    if not scheme.is_float and codes.dtype == ("I8" if name == codes.name else "I32"):
        return _integers(codes, tensors, scheme)
    kind = "float" if scheme.is_float else "int"
    raise UnknownPacking(
        f"{codes.name!r} is stored as {codes.dtype}, the config says {scheme.bits} bits {kind}", where=codes.shard
    )


def _block(scheme: Scheme) -> object:
    if scheme.strategy == "block":
        return scheme.block
    return (1, scheme.group) if scheme.group > 0 else scheme.strategy


def _integers(codes: TensorInfo, tensors: Mapping[str, TensorInfo], scheme: Scheme) -> Packed:
    if len(codes.shape) < 2 or (codes.dtype == "I8" and scheme.bits != 8):
        raise misfit(codes, told=f"the config says {scheme.bits} bits")
    name = codes.name.removesuffix("_packed")
    per_word = WORD // scheme.bits if codes.dtype == "I32" else 1
    *lead, height, words = codes.shape
    shape = (*lead, height, words * per_word)
    scale = needed(tensors, f"{name}_scale", codes)
    rows, columns = _grid(shape, scale, codes, scheme)
    parts = {"codes": Part(tensor=codes.name, rows=1), "scale": Part(tensor=scale.name, rows=rows)}
    if not scheme.symmetric:
        zeros = needed(tensors, f"{name}_zero_point", codes)
        parts["zeros"] = Part(tensor=zeros.name, rows=_zero_rows(zeros, scale, shape, per_word, rows))
    order = tensors.get(f"{name}_g_idx")
    if order is not None:
        if order.dtype not in {"I32", "I64"} or order.shape != shape[-1:] or scheme.group < 1 or lead:
            raise misfit(order, codes, told="a group number for every column")
        parts["order"] = Part(tensor=order.name, rows=0)
    return Packed(
        name=name,
        packing=PACK if codes.dtype == "I32" else INT,
        shape=shape,
        parts=parts,
        rows=rows,
        columns=columns,
        bits=scheme.bits,
        # Signed codes are stored, or read, with half of their range added.
        zero=1 << (scheme.bits - 1) if scheme.symmetric else 0,
    )


def _grid(shape: tuple[int, ...], scale: TensorInfo, codes: TensorInfo, scheme: Scheme) -> tuple[int, int]:
    """Return (rows, columns) that share a scale, as the scheme says and the scale's shape proves."""
    *lead, height, width = shape
    found = None
    if scheme.strategy == "tensor" and math.prod(scale.shape) == 1:
        found = (0, 0)
    elif scheme.strategy == "channel" and scale.shape in {(*lead, height, 1), (*lead, height)}:
        found = (1, 0)
    elif scheme.group > 0 and width % scheme.group == 0 and scale.shape == (*lead, height, width // scheme.group):
        found = (1, scheme.group)
    if found is None or scale.dtype not in FLOAT_SCALES:
        shared = f"{scheme.strategy} {scheme.group}" if scheme.group else scheme.strategy
        told = f"the config says {scheme.bits} bits and one scale per {shared}"
        raise misfit(codes, scale, told=told + _proven(codes, scale, scheme))
    return found


def _proven(codes: TensorInfo, scale: TensorInfo, scheme: Scheme) -> str:
    """Return what the shapes prove of the bits, if they do: words for groups of inputs that have a scale each."""
    inputs = scheme.group * scale.shape[-1] if scheme.group > 0 and scale.shape[:-1] == codes.shape[:-1] else 0
    bits, rest = divmod(codes.shape[-1] * WORD, inputs) if inputs and codes.dtype == "I32" else (0, 1)
    return "" if rest or bits == scheme.bits else f", the shapes prove {bits} bits in such groups"


def _zero_rows(zeros: TensorInfo, scale: TensorInfo, shape: tuple[int, ...], per_word: int, rows: int) -> int:
    """Return how many rows share a row of zero points: packed along the output, or one byte each."""
    *lead, height, _ = shape
    if zeros.dtype == "I8" and zeros.shape == scale.shape:
        return rows
    groups = scale.shape[-1] if len(scale.shape) == len(shape) else 1
    if zeros.dtype == "I32" and zeros.shape == (*lead, -(-height // per_word), groups) and rows == 1:
        return per_word
    raise misfit(zeros, scale, told="a zero point for every scale")
