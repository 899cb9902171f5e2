"""What the behaviour gate asks of an artifact's tensors: memory, narrowest bits, the first changed tensor."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from hubbot.catalogue.variants.roles import role_of
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.readers.tensor_files import Floats
from hubbot.checks.readers.whole_tensors import stored_floats, whole

_LAYER = re.compile(r".*?\.layers\.\d+\.")
FLOAT32_BYTES = 4
UNQUANTIZED_BITS = 16


def largest_step_bytes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the bytes of the largest layer in float32 and of everything beside the layers."""
    sizes: dict[str, int] = defaultdict(int)
    for name, shape in shapes.items():
        found = _LAYER.match(name)
        sizes[found[0] if found else ""] += FLOAT32_BYTES * math.prod(shape)
    beside = sizes.pop("", 0)
    return beside + max(sizes.values(), default=0)


def weights_per_token(shapes: Mapping[str, tuple[int, ...]], expected: Expectations, share: float) -> float:
    """Return how many weights one token is multiplied by; it is sent to `share` of the experts."""
    found = 0.0
    for name, shape in shapes.items():
        if len(shape) > 1 and role_of(name) != "embedding":
            found += math.prod(shape) * (1.0 if expected.place(name) is None else share)
    return found


def narrowest_bits(stored: StoredParameters) -> int:
    """Return the bits of the narrowest quantized tensor, 16 where none is quantized."""
    return min((p.bits for p in stored.by_name.values() if p.mode != "none"), default=UNQUANTIZED_BITS)


def first_changed(stored: StoredParameters, expected: Expectations) -> str | None:
    """Return the first quantized tensor that does not hold the source's very values, or None."""
    for parameter in stored.by_name.values():
        if parameter.mode != "none" and not np.array_equal(*_start(stored, expected, parameter)):
            return parameter.name
    return None


def _start(stored: StoredParameters, expected: Expectations, parameter: StoredParameter) -> tuple[Floats, Floats]:
    """Return the first expert, or the first rows, as stored and as the source has them."""
    stop = 1 if len(parameter.shape) > 2 else parameter.shape[0]
    actual = stored_floats(stored, parameter, 0, stop)
    place = expected.place(parameter.name)
    if place is not None:
        return actual, expected.expert(place, 0)[None]
    return actual, whole(expected, parameter.name, parameter.shape)[:stop]
