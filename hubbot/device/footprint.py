"""How much memory a conversion's slices take at their peak, before anything is read."""

import math
from collections.abc import Sequence

from hubbot.device.conveyor import HELD_OUTPUT, HELD_SOURCE, slice_limit
from hubbot.device.reader import Sources
from hubbot.device.slices import slices_of
from hubbot.moves import Move
from hubbot.plans import PlannedVariant

FLOAT32_BYTES = 4


def slice_bytes(
    moves: Sequence[Move], variants: Sequence[PlannedVariant], sources: Sources, *, working_bytes: int
) -> int:
    """Return the bytes that slices take together: `working_bytes`, or more where one unit cannot be cut."""
    source_bytes = sum(tensor.nbytes for tensor in sources.tensors.values())
    output_bytes = sum(variant.nbytes for variant in variants)
    limit = slice_limit(working_bytes, source_bytes=source_bytes, output_bytes=output_bytes)
    ratio = output_bytes / max(1, source_bytes)
    largest = max((_first(move, variants, sources, limit) for move in moves), default=0)
    return max(working_bytes, int(largest * (HELD_SOURCE + HELD_OUTPUT * ratio)))


def _first(move: Move, variants: Sequence[PlannedVariant], sources: Sources, limit: int) -> int:
    name = move.sources[0]
    whole = any(variant.encodings[move.output].global_scale for variant in variants)
    nbytes = sum(sources.nbytes(source) for source in move.sources)
    first = next(slices_of(move, sources.shape(name), nbytes, limit, whole_units=whole), None)
    if first is None:
        return 0
    if name not in sources.packed:
        return first.nbytes
    # Codes become float32 before they are encoded again.
    share = first.nbytes / max(1, nbytes)
    return int(share * math.prod(move.shape) * FLOAT32_BYTES)
