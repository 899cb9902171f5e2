"""gptq and awq: `qweight` int32 stored [in, out], `qzeros` and `scales` per group of inputs.

gptq packs along the input, lowest bits first, stores zero points less one (format gptq; gptq_v2 does not), and
says in `g_idx` which group an input belongs to. awq packs the outputs of eight in the order 0 2 4 6 1 3 5 7.
Sources: AutoGPTQ nn_modules/qlinear/qlinear_cuda_old.py (zeros + 1, then the code's bits), ModelCloud/GPTQModel
utils/model.py (gptq, gptq_v2) and quantization/config.py (dynamic), casper-hansen/AutoAWQ modules/linear/gemm.py.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings.rule import FLOAT_SCALES, Found, Packing, misfit, needed, refused
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import UnknownPacking
from hubbot.moves import Packed, Part

GPTQ, AWQ = "gptq", "awq"
CODES = ".qweight"
WORD = 32
ALL_BITS = frozenset(range(1, 9))
READ_BITS = frozenset({2, 4, 8})
# What AutoRound calls the bits of a module that it leaves as it is.
UNQUANTIZED = frozenset({16, 32})
# Checkpoint format -> what is added to a stored zero point.
GPTQ_FORMATS: Mapping[str, int] = {"gptq": 1, "gptq_v2": 0}
ROWS = (
    Packing(
        key=GPTQ,
        method=GPTQ,
        naming="`qweight` [in / 8, out], `qzeros`, `scales`, `g_idx`; formats gptq and gptq_v2",
        example="model.layers.0.mlp.experts.0.gate_proj.qweight",
        source="AutoGPTQ nn_modules/qlinear; ModelCloud/GPTQModel utils/model.py",
    ),
    Packing(
        key=AWQ,
        method=AWQ,
        naming="`qweight` [in, out / 8], `qzeros`, `scales`; version gemm",
        example="model.layers.0.mlp.experts.0.gate_proj.qzeros",
        source="casper-hansen/AutoAWQ modules/linear/gemm.py",
    ),
)


def gptq(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the gptq tensors of a checkpoint, each with the bits and groups that its shapes prove.

    UnknownPacking where those are none that the config declares, as a whole or for some modules.
    """
    name = str(block.get("checkpoint_format") or block.get("format") or GPTQ).lower()
    if name not in GPTQ_FORMATS:
        raise refused(checkpoint, f"gptq checkpoint format {name[:60]!r} is not read")
    tensors = checkpoint.tensors
    declared = _declared(checkpoint, block)
    ordered = block.get("desc_act") is True
    packed = tuple(_gptq(tensors, stem, declared, GPTQ_FORMATS[name], ordered=ordered) for stem in _stems(tensors))
    return Found(packed=packed, dropped={})


def awq(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the awq tensors of a checkpoint."""
    version = str(block.get("version") or block.get("format") or "gemm").lower()
    bits = block.get("bits", block.get("w_bit"))
    if version != "gemm" or bits != 4:
        told = f"awq version {version[:60]!r} with {str(bits)[:20]} bits is not read"
        raise refused(checkpoint, told, "version gemm with 4 bits is")
    if block.get("zero_point", True) is not True:
        raise refused(checkpoint, "awq without zero points is not read")
    tensors = checkpoint.tensors
    size = _group(checkpoint, block)
    return Found(packed=tuple(_awq(tensors, name, size) for name in _stems(tensors)), dropped={})


def _stems(tensors: Mapping[str, TensorInfo]) -> list[str]:
    return [name.removesuffix(CODES) for name in tensors if name.endswith(CODES)]


def _group(checkpoint: Checkpoint, block: Mapping[str, Any]) -> int:
    size = block.get("group_size", block.get("q_group_size"))
    if not isinstance(size, int) or isinstance(size, bool) or size == 0 or size < -1:
        raise refused(checkpoint, f"group_size {str(size)[:20]!r} is no number of inputs")
    return size


def _declared(checkpoint: Checkpoint, block: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return (bits, group size) of the config as a whole and of the modules that it makes exceptions of.

    Which modules those are, GPTQModel's `dynamic` and AutoRound's `extra_config` say in regular expressions of
    the checkpoint's author, which are never run: a tensor's shapes prove which of the pairs is its own.
    """
    said = [block]
    for key in ("dynamic", "extra_config"):
        rules = block.get(key)
        if isinstance(rules, Mapping):
            # "-:" takes modules out, and so do 16 bits.
            taken = (
                rule for name, rule in rules.items() if isinstance(rule, Mapping) and not name.startswith("-:")
            )
            said += [{**block, **rule} for rule in taken if rule.get("bits") not in UNQUANTIZED]
    found = []
    for one in said:
        bits = one.get("bits")
        if bits not in READ_BITS:
            # Their tools do not agree how.
            why = ": its codes straddle words, and no reference proves how" if bits == 3 else ""
            raise refused(checkpoint, f"gptq with {str(bits)[:20]} bits is not read{why}", "2, 4 and 8 bits are")
        found.append((bits, _group(checkpoint, one)))
    return tuple(dict.fromkeys(found))


def _rows(size: int, height: int) -> int:
    return height if size == -1 else min(size, height)


def _gptq(
    tensors: Mapping[str, TensorInfo],
    stem: str,
    declared: tuple[tuple[int, int], ...],
    added: int,
    *,
    ordered: bool,
) -> Packed:
    codes = tensors[stem + CODES]
    bits, size = _proven(tensors, stem, declared)
    per_word = WORD // bits
    height, width = codes.shape[0] * per_word, codes.shape[1]
    order = tensors.get(f"{stem}.g_idx")
    if order is None and ordered and 0 < size < height:
        order = needed(tensors, f"{stem}.g_idx", codes)
    if order is not None and (order.dtype not in {"I32", "I64"} or order.shape != (height,)):
        raise misfit(codes, order, told="a group number for every input")
    parts = {"codes": Part(tensor=codes.name, rows=per_word)}
    parts |= _scales(tensors, stem, codes, (height, width, bits), size, ordered=order is not None)
    if order is not None:
        parts["order"] = Part(tensor=order.name, rows=1)
    return _packed(stem, GPTQ, (height, width), parts, bits=bits, zero=added)


def _proven(
    tensors: Mapping[str, TensorInfo], stem: str, declared: tuple[tuple[int, int], ...]
) -> tuple[int, int]:
    """Return the one declared (bits, group size) that the shapes of a weight's parts prove.

    A row of zero points has `bits` for each output, a column of codes for each input, and there is a row of
    scales for every group of inputs.
    """
    codes = tensors[stem + CODES]
    scales, zeros = needed(tensors, f"{stem}.scales", codes), needed(tensors, f"{stem}.qzeros", codes)
    if any(len(part.shape) != 2 or 0 in part.shape for part in (codes, scales, zeros)):
        raise misfit(codes, zeros, scales, told="gptq stores matrices")
    bits, rest = divmod(zeros.shape[1] * WORD, codes.shape[1])
    if rest or bits not in ALL_BITS or scales.shape != (zeros.shape[0], codes.shape[1]):
        raise misfit(codes, zeros, scales, told="zero points and scales for the same groups and outputs")
    height, rest = divmod(codes.shape[0] * WORD, bits)
    groups = scales.shape[0]
    fitting = {_rows(size, height) for number, size in declared if number == bits}
    fitting = {rows for rows in fitting if not rest and groups == -(-height // rows)}
    # Where every input names its group, it does not matter which size the others had.
    if len(fitting) == 1 or (fitting and f"{stem}.g_idx" in tensors):
        return bits, min(fitting)
    if fitting:
        told = " and ".join(map(str, sorted(fitting)))
        raise UnknownPacking(f"{codes.name!r} fits groups of {told}, and no g_idx tells which", where=codes.shard)
    proven = f"{bits} bits in {groups} groups of {height} inputs"
    told = " or ".join(f"{number} bits in groups of {size}" for number, size in declared)
    raise UnknownPacking(
        f"the shapes of {codes.name!r} {list(codes.shape)}, its zero points {list(zeros.shape)} and its scales "
        f"{list(scales.shape)} prove {proven}; the config declares {told}",
        where=codes.shard,
        hint="bits and group_size, or a rule in `dynamic` or `extra_config`, have to say what is stored",
    )


def _awq(tensors: Mapping[str, TensorInfo], stem: str, size: int) -> Packed:
    codes = tensors[stem + CODES]
    height, width = (codes.shape[0], codes.shape[1] * 8) if len(codes.shape) == 2 else (0, 0)
    parts = {"codes": Part(tensor=codes.name, rows=1)}
    parts |= _scales(tensors, stem, codes, (height, width, 4), size, ordered=False)
    return _packed(stem, AWQ, (height, width), parts, bits=4, zero=0)


def _scales(
    tensors: Mapping[str, TensorInfo],
    stem: str,
    codes: TensorInfo,
    matrix: tuple[int, int, int],
    size: int,
    *,
    ordered: bool,
) -> dict[str, Part]:
    """Return the parts of scales and zero points, whole where groups are taken in an order of their own."""
    height, width, bits = matrix
    scales, zeros = needed(tensors, f"{stem}.scales", codes), needed(tensors, f"{stem}.qzeros", codes)
    rows = height if size == -1 else size
    groups = -(-height // rows) if rows else 0
    fits = scales.shape == (groups, width) and zeros.shape == (groups, width * bits // WORD)
    if not fits or codes.dtype != "I32" or zeros.dtype != "I32" or scales.dtype not in FLOAT_SCALES:
        raise misfit(codes, zeros, scales, told=f"{bits} bits in groups of {size} inputs")
    shared = 0 if ordered else rows
    return {"scale": Part(tensor=scales.name, rows=shared), "zeros": Part(tensor=zeros.name, rows=shared)}


def _packed(
    stem: str, key: str, shape: tuple[int, int], parts: Mapping[str, Part], *, bits: int, zero: int
) -> Packed:
    return Packed(
        name=f"{stem}.weight",
        packing=key,
        shape=shape,
        parts=parts,
        rows=parts["scale"].rows,
        columns=1,
        transposed=True,
        bits=bits,
        zero=zero,
    )
