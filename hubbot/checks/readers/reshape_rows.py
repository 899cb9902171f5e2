"""Carries out the catalogue's reshapes for the referee: splits heads, transposes, folds, picks rows."""

import numpy as np

from hubbot.catalogue.reshapes import Reshaped
from hubbot.checks.readers.source_tensors import SourceTensors
from hubbot.checks.readers.tensor_files import Floats
from hubbot.moves import Step


def rows(sources: SourceTensors, name: str, made: Reshaped, start: int, stop: int) -> Floats:
    """Return rows [start, stop) of the parameter that `made` describes, float32 [stop - start, ...]."""
    shape = sources.shape(name)
    lead = shape[0] if shape else 1
    if made.flat:
        return sources.floats(name, 0, lead).reshape(-1)[start:stop]
    per_unit = lead // (made.groups or lead)
    if made.part is not None and made.merge:
        number, _ = made.part
        unit = _viewed(_units(sources, name, made, number, number + 1, per_unit), made)
        return unit[0, start:stop]
    if made.part is not None:
        number, count = made.part
        first, end = number * lead // count, (number + 1) * lead // count
        start, stop = min(start + first, end), min(stop + first, end)
    if any(step.kind == "shift" for step in made.view):
        return _shifted(sources.floats(name, 0, lead))[start:stop]
    if not made.merge:
        return _viewed(_units(sources, name, made, start, stop, per_unit), made)
    probe = _viewed(_units(sources, name, made, 0, 1, per_unit), made)
    height = probe.shape[1]
    first, last = start // height, -(-stop // height)
    units = _viewed(_units(sources, name, made, first, last, per_unit), made)
    merged = units.reshape(-1, *units.shape[2:])
    return merged[start - first * height : stop - first * height]


def _units(sources: SourceTensors, name: str, made: Reshaped, start: int, stop: int, per_unit: int) -> Floats:
    found = sources.floats(name, start * per_unit, stop * per_unit)
    return found if made.groups is None else found.reshape(stop - start, per_unit, *found.shape[1:])


def _viewed(units: Floats, made: Reshaped) -> Floats:
    for step in made.view:
        if step.kind == "transpose":
            units = units.swapaxes(-1, -2)
        elif step.kind == "channels_last":
            units = units.transpose(0, *range(2, units.ndim), 1)
        elif step.kind == "add":
            units = units + np.float32(step.value)
        elif step.kind == "scale":
            units = units * _factors(units.shape[step.axis], step)[(...,) + (None,) * (-1 - step.axis)]
        elif step.axis == -1:
            units = units[..., step.start : step.stop : step.step]
        else:
            units = units[..., step.start : step.stop : step.step, :]
    return np.ascontiguousarray(units)


def _factors(length: int, step: Step) -> Floats:
    """Return what each place along the scaled axis is multiplied by."""
    places = np.arange(length)
    return np.where((places >= step.start) & (places < step.stop), np.float32(step.value), np.float32(1))


def _shifted(values: Floats) -> Floats:
    """Add the smallest power of two that leaves nothing negative."""
    least = float(values.min(initial=0.0))
    if least >= 0:
        return values
    mantissa, exponent = np.frexp(-least)
    # frexp's mantissa is in [0.5, 1): a power of two itself only at 0.5.
    return values + np.float32(2.0 ** (exponent - (mantissa == 0.5)))
