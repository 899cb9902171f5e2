"""Models of float32 weights: the unquantized one, and an artifact decoded for a device that lacks its kernels.

The unquantized weights are those that the referee itself expects of the source. Layer by layer, so that either
needs the memory of one layer. Nothing here compares.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.readers.tensor_files import Floats, widen
from hubbot.errors import IncompleteCover
from hubbot.runtime import loading
from hubbot.runtime.layerwise import LayerwiseModel, open_unquantized

# Keys of an artifact's config that say how weights are stored, not what is computed.
STORAGE = frozenset({"quantization", "quantization_config", "dtype", "torch_dtype"})


def unquantized_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an artifact's config without what belongs to its variant alone."""
    return {key: value for key, value in config.items() if key not in STORAGE}


def open_source(
    config: Mapping[str, Any], expected: Expectations, shapes: Mapping[str, tuple[int, ...]]
) -> LayerwiseModel:
    """Return the model of `config` with the source's weights; `shapes` are those of its parameters."""

    def fetch(names: list[str]) -> Iterator[tuple[str, Floats]]:
        for name in names:
            yield name, whole(expected, name, shapes[name])

    return open_unquantized(unquantized_config(config), fetch)


def open_dequantized(config: Mapping[str, Any], stored: StoredParameters) -> LayerwiseModel:
    """Return the artifact's model with its weights decoded to float32."""

    def fetch(names: list[str]) -> Iterator[tuple[str, Floats]]:
        for name in names:
            parameter = stored.by_name[name]
            lead = parameter.shape[0] if parameter.shape else 1
            yield name, stored_floats(stored, parameter, 0, lead).reshape(parameter.shape)

    return open_unquantized(unquantized_config(config), fetch)


def stored_floats(stored: StoredParameters, parameter: StoredParameter, start: int, stop: int) -> Floats:
    """Return rows [start, stop) of a stored parameter's first axis, decoded to float32."""
    parts = stored.parts(parameter, start, stop)
    if parameter.mode == "none":
        return widen(parts["weight"], parameter.dtype)
    return loading.dequantize(
        parts, mode=parameter.mode, bits=parameter.bits, group_size=parameter.group_size,
        scale_dtype=parameter.dtype,
    )  # fmt: skip


def whole(expected: Expectations, name: str, shape: tuple[int, ...]) -> Floats:
    """Return one parameter in float32; IncompleteCover where the source does not make it in that shape."""
    place = expected.place(name)
    if place is not None:
        made = np.empty(shape, np.float32)
        if expected.experts_at(place) != shape[0]:
            raise IncompleteCover(
                f"the source has {expected.experts_at(place)} experts for {shape[0]}", where=name
            )
        for expert in range(shape[0]):
            made[expert] = expected.expert(place, expert)
        return made
    if expected.source_name(name) is None:
        raise IncompleteCover("nothing in the source makes it", where=name)
    return expected.rows(name, 0, shape[0] if shape else 1).reshape(shape)
