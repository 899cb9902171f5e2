"""Models of float32 weights: the unquantized one, and an artifact decoded for a device that lacks its kernels.

The unquantized weights are those that the referee itself expects of the source. Layer by layer, so that either
needs the memory of one layer. Nothing here compares.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.readers.tensor_files import FLOATS, Floats, widen
from hubbot.checks.readers.whole_tensors import place_of, stored_floats, unquantized_config, whole
from hubbot.runtime.expert_stacks import ExpertStack, to_mlx
from hubbot.runtime.layerwise import LayerwiseModel, open_unquantized


def open_source(
    config: Mapping[str, Any],
    expected: Expectations,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    by_blas: bool = False,
) -> LayerwiseModel:
    """Return the model of `config` with the source's weights; `shapes` are those of its parameters."""

    def fetch(names: list[str]) -> Iterator[tuple[str, Any]]:
        for name in names:
            yield name, _stored(expected, name, shapes[name])

    return open_unquantized(unquantized_config(config), fetch, by_blas=by_blas)


def _stored(expected: Expectations, name: str, shape: tuple[int, ...]) -> Any:
    """Return what the source stores for a parameter: its bits, or experts that are read when they compute."""
    place = place_of(expected, name, shape)
    if place is None:
        raw, dtype = expected.stored_rows(name, 0, shape[0] if shape else 1)
        return to_mlx(raw.reshape(shape), dtype) if dtype in FLOATS else widen(raw, dtype).reshape(shape)
    if place.is_bias:
        return whole(expected, name, shape)
    return ExpertStack(shape=shape, expert=lambda index: expected.stored_expert(place, index))


def open_dequantized(
    config: Mapping[str, Any], stored: StoredParameters, *, by_blas: bool = False
) -> LayerwiseModel:
    """Return the artifact's model with its weights decoded to float32."""

    def fetch(names: list[str]) -> Iterator[tuple[str, Floats]]:
        for name in names:
            parameter = stored.by_name[name]
            lead = parameter.shape[0] if parameter.shape else 1
            yield name, stored_floats(stored, parameter, 0, lead).reshape(parameter.shape)

    return open_unquantized(unquantized_config(config), fetch, by_blas=by_blas)
