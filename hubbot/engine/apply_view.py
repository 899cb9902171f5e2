"""From what was read of a slice to that slice of a runtime parameter: unpack, transpose, apply the move's view."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import to_float32
from hubbot.engine.reader import Block, Raw, Sources
from hubbot.engine.slices import Region, Slice
from hubbot.engine.unpacking import unpack

Floats = npt.NDArray[np.float32]


def apply(read: Raw | list[Block], area: Region, part: Slice, sources: Sources) -> tuple[npt.NDArray[Any], str]:
    """Return (float bits [steps of the parameter's first axis, ...], their dtype) of one slice.

    `read` and `area` are what `Shards.read` returns: bits [units, rows, columns] as stored, or packed blocks,
    which become F32. Raises ValueMismatch as `unpack` does.
    """
    name = part.source
    if isinstance(read, list):
        raw, dtype = _unpacked(read, part, sources), "F32"
    else:
        raw, dtype = read, sources.dtype(name)
    if area.transpose:
        raw = np.ascontiguousarray(raw.swapaxes(-1, -2))
    if any(step.kind == "channels_last" for step in part.move.view):
        raw = np.ascontiguousarray(np.moveaxis(raw, 1, -1))
    if part.move.is_arithmetic:
        raw, dtype = _folded(to_float32(raw, dtype), part).view(np.uint32), "F32"
    return _as_parameter(raw, part), dtype


def _unpacked(blocks: list[Block], part: Slice, sources: Sources) -> npt.NDArray[np.uint32]:
    made = []
    for index, block in enumerate(blocks):
        name = part.move.sources[part.start + index if part.move.stacked else 0]
        packed = sources.packed[name]
        dtypes = {role: sources.tensors[stored.tensor].dtype for role, stored in packed.parts.items()}
        made.append(unpack(packed, block, dtypes))
    one = made[0][None] if len(made) == 1 else np.stack(made)
    return np.ascontiguousarray(one).view(np.uint32)


def _folded(values: Floats, part: Slice) -> Floats:
    for step in part.move.view:
        if step.kind == "add":
            values = values + np.float32(step.value)
        elif step.kind == "scale":
            values = values.copy()
            part_of = values.swapaxes(-1, step.axis)
            part_of[..., step.start : step.stop] *= np.float32(step.value)
        elif step.kind == "shift":
            values = values + power_above(-float(values.min(initial=0.0)))
    return values


def power_above(least: float) -> np.float32:
    """Return the smallest power of two that is not below `least`; 0 where `least` is not positive."""
    return np.float32(0 if least <= 0 else 2.0 ** np.ceil(np.log2(least)))


def _as_parameter(raw: npt.NDArray[Any], part: Slice) -> npt.NDArray[Any]:
    """Return raw bits with the parameter's own trailing axes, whatever units they were read in."""
    shape = part.move.shape
    if not shape:
        return raw.reshape(())
    if part.rows is not None:
        lead = (part.rows[1] - part.rows[0],)
        return raw.reshape(lead + shape[1:] if part.is_joined else (1, *lead, *shape[2:]))
    return raw.reshape(-1, *shape[1:])
