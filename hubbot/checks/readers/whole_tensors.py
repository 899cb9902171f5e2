"""Whole parameters in float32: as an artifact stores them, decoded, and as the source says they ought to be."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.readers.tensor_files import Floats, widen
from hubbot.errors import IncompleteCover
from hubbot.runtime import loading

# Keys of an artifact's config that say how weights are stored, not what is computed.
STORAGE = frozenset({"quantization", "quantization_config", "dtype", "torch_dtype"})


def unquantized_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an artifact's config without what belongs to its variant alone."""
    return {key: value for key, value in config.items() if key not in STORAGE}


def stored_floats(stored: StoredParameters, parameter: StoredParameter, start: int, stop: int) -> Floats:
    """Return rows [start, stop) of a stored parameter's first axis, decoded: float32 [stop - start, ..., in]."""
    parts = stored.parts(parameter, start, stop)
    if parameter.mode == "none":
        return widen(parts["weight"], parameter.dtype)
    return loading.dequantize(
        parts, mode=parameter.mode, bits=parameter.bits, group_size=parameter.group_size,
        scale_dtype=parameter.dtype,
    )  # fmt: skip


def whole(expected: Expectations, name: str, shape: tuple[int, ...]) -> Floats:
    """Return one parameter as the source says it is, float32 [*shape].

    Raises IncompleteCover where the source does not make it in that shape.
    """
    place = place_of(expected, name, shape)
    if place is not None:
        made = np.empty(shape, np.float32)
        for expert in range(shape[0]):
            made[expert] = expected.expert(place, expert)
        return made
    return expected.rows(name, 0, shape[0] if shape else 1).reshape(shape)


def place_of(expected: Expectations, name: str, shape: tuple[int, ...]) -> ExpertPlace | None:
    """Return which experts a parameter of `shape` holds, or None where it holds none.

    Raises IncompleteCover where the source has another number of experts, or nothing that makes the parameter.
    """
    place = expected.place(name)
    if place is None:
        if expected.source_name(name) is None:
            raise IncompleteCover("nothing in the source makes it", where=name)
    elif expected.experts_at(place) != shape[0]:
        raise IncompleteCover(f"the source has {expected.experts_at(place)} experts for {shape[0]}", where=name)
    return place
