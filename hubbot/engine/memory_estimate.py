"""Predict the peak memory of a conversion's slices, before anything is read."""

from collections.abc import Sequence

from hubbot.engine.reader import Sources
from hubbot.engine.slices import slices_of
from hubbot.engine.streaming import HELD_OUTPUT, HELD_SOURCE, slice_limit
from hubbot.moves import Move
from hubbot.plans import PlannedVariant


def slice_bytes(
    moves: Sequence[Move], variants: Sequence[PlannedVariant], sources: Sources, *, working_bytes: int
) -> int:
    """Return the peak bytes of all slices in memory: `working_bytes`, or more where one unit cannot be cut."""
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
    share = sources.share_stored(move)
    most = max(1, int(limit * share))
    first = next(slices_of(move, sources.shape(name), nbytes, most, whole_units=whole), None)
    return int(first.nbytes / share) if first else 0
