"""The codes of a packed source as the stored parts of the same format in MLX, without rounding them again.

Rows are rearranged as the move says; columns stay where they are. `mark_kept` decides, for the plan, which
weights keep their codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.catalogue.packings.passthrough import is_kept
from hubbot.engine.floats import fits_float16, from_float32
from hubbot.engine.formats import affine
from hubbot.engine.integers import integers
from hubbot.engine.reader import Block, Sources
from hubbot.engine.slices import Slice, region
from hubbot.errors import ValueMismatch
from hubbot.moves import Move, Packed
from hubbot.plans import Encoding, PlannedVariant

# MLX's tensor scale stands for the largest weight: e2m1's largest value times e4m3's.
FULL_SCALE: Final = np.float32(6.0 * 448.0)
Raw = npt.NDArray[Any]
Parts = dict[str, Raw]


def mark_kept(variant: PlannedVariant, moves: Sequence[Move], sources: Sources) -> PlannedVariant:
    """Return the variant with `kept` set on every encoding whose format the source has already."""
    encodings = dict(variant.encodings)
    for move in moves:
        encoding = encodings[move.output]
        if encoding.is_quantized and move.sources[0] in sources.packed and _can_keep(move, encoding, sources):
            encodings[move.output] = replace(encoding, kept=True)
    return replace(variant, encodings=encodings)


def _can_keep(move: Move, encoding: Encoding, sources: Sources) -> bool:
    alike = {_form(sources.packed[name], sources) for name in move.sources if name in sources.packed}
    if len(alike) != 1 or any(name not in sources.packed for name in move.sources) or move.is_arithmetic:
        return False
    packed = sources.packed[move.sources[0]]
    return is_kept(packed, _scale_dtype(packed, sources), encoding) and _keeps_columns(move, packed, sources)


def _form(packed: Packed, sources: Sources) -> tuple[Any, ...]:
    roles = tuple(sorted((role, part.rows) for role, part in packed.parts.items()))
    numbers = (packed.rows, packed.columns, packed.bits, packed.zero, packed.transposed)
    return packed.packing, packed.shape, numbers, roles, _scale_dtype(packed, sources)


def _scale_dtype(packed: Packed, sources: Sources) -> str:
    return sources.tensors[packed.parts["scale"].tensor].dtype


def _keeps_columns(move: Move, packed: Packed, sources: Sources) -> bool:
    """Say whether every row of the output is a whole row of groups, in order."""
    shape = sources.shape(packed.name)
    _, unit = move.unit_shape(shape)
    area = region(move, unit, None)
    return not area.transpose and area.columns == range(shape[-1]) and move.shape[-1] == shape[-1]


def stored_parts(blocks: Sequence[Block], part: Slice, sources: Sources, encoding: Encoding) -> Parts:
    """Return the stored parts of a slice by suffix, from its packed `blocks` (one per unit).

    "weight" is uint32 [steps of the first axis, ..., in * bits / 32]; "scales" and, for affine, "biases" are
    [..., in / group_size] as bits of the encoding's dtype or uint8; "global_scale" is float32 [units].
    Raises ValueMismatch where a bias overflows float16.
    """
    made = [_kept(_packed(part, index, sources), block, sources, encoding) for index, block in enumerate(blocks)]
    together = {suffix: np.stack([one[suffix] for one in made]) for suffix in made[0]}
    shape = part.move.shape
    lead: tuple[int, ...] = (-1, *shape[1:-1])
    if part.rows is not None and not part.is_joined:
        lead = (1, part.rows[1] - part.rows[0], *shape[2:-1])
    return {
        suffix: array if suffix == "global_scale" else array.reshape(*lead, array.shape[-1])
        for suffix, array in together.items()
    }


def _packed(part: Slice, index: int, sources: Sources) -> Packed:
    return sources.packed[part.move.sources[part.start + index if part.move.stacked else 0]]


def _kept(packed: Packed, block: Block, sources: Sources, encoding: Encoding) -> Parts:
    if encoding.mode == "affine":
        return _affine(packed, block, sources, encoding)
    codes = block.parts["weight" if "weight" in block.parts else "codes"]
    # Both store the lower code first, and a word's lowest byte first.
    words = np.ascontiguousarray(codes).reshape(len(codes), -1).view(np.uint8).view(np.uint32)
    scales = block.parts["scale"][block.rows["scale"]].reshape(len(codes), -1)
    parts: Parts = {"weight": words, "scales": scales.view(np.uint8)}
    if encoding.global_scale:
        parts["global_scale"] = _whole(packed, block)
    return parts


def _whole(packed: Packed, block: Block) -> npt.NDArray[np.float32]:
    whole = block.parts["whole"].view(np.float32).reshape(())
    divides = packed.packing == "nvfp4-pack-quantized"
    return np.asarray(FULL_SCALE / whole if divides else FULL_SCALE * whole, np.float32)


def _affine(packed: Packed, block: Block, sources: Sources, encoding: Encoding) -> Parts:
    made = integers(packed, block, _scale_dtype(packed, sources))
    scales: Raw = made.scales[made.index]
    zeros = made.zeros if len(made.zeros) == 1 else made.zeros[made.index]
    biases: Raw = np.broadcast_to(-zeros * scales, scales.shape)
    codes: Raw = made.codes
    if packed.transposed:
        columns = slice(block.columns.start, block.columns.stop, block.columns.step)
        step = encoding.group_size
        codes = codes[:, columns].T
        scales, biases = scales[::step, columns].T, biases[::step, columns].T
    if not fits_float16(np.ascontiguousarray(biases).view(np.uint32), "F32") and encoding.dtype == "F16":
        raise ValueMismatch(f"{packed.name!r} has values beyond float16's range", where=packed.name)
    assert encoding.bits
    flat = np.ascontiguousarray(codes).reshape(-1)
    stream = np.empty(flat.size * encoding.bits // 8, np.uint8)
    # Sources have 2, 4 or 8 bits, of which whole codes fill a byte: nothing is written beyond the stream.
    affine.pack_into(stream, flat, encoding.bits)
    return {
        "weight": stream.view(np.uint32).reshape(len(codes), -1),
        "scales": from_float32(np.ascontiguousarray(scales), encoding.dtype),
        "biases": from_float32(np.ascontiguousarray(biases), encoding.dtype),
    }


def split_kept(encodings: Sequence[Encoding]) -> tuple[list[Encoding], list[Encoding]]:
    """Return (the encodings whose codes are computed, those whose codes are kept)."""
    return [one for one in encodings if not one.kept], [one for one in encodings if one.kept]


def merge_kept(
    encodings: Sequence[Encoding], made: Sequence[Mapping[str, Any]], kept: Sequence[Parts]
) -> list[Any]:
    """Return `made` and `kept`, the parts [...] of each encoding, in the order of `encodings`."""
    computed, taken = iter(made), iter(kept)
    return [next(taken) if encoding.kept else next(computed) for encoding in encodings]
