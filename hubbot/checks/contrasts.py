"""The wrong readings of an expert that pass every name and shape check, and whether an artifact fits one.

An alternative counts only where the source under it differs from the true source by more than twice the bound.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hubbot.checks.expectations import Expectations, ExpertPlace
from hubbot.checks.tensorfiles import Floats

Alternative = tuple[str, Floats]
_OTHER = {"gate": "up", "up": "gate"}


def alternatives(
    expected: Expectations, place: ExpertPlace, expert: int, count: int, rows: npt.NDArray[np.int64]
) -> Iterator[Alternative]:
    """Yield (what would be wrong, the source's `rows` read that way) for one expert's projection."""
    other = _OTHER.get(place.projection)
    if other:
        swapped = ExpertPlace(prefix=place.prefix, projection=other)
        yield "gate and up are swapped", expected.expert(swapped, expert)[rows]
        yield "the halves are taken as interleaved", _interleaved(expected, place, expert)[rows]
    if count > 1:
        neighbour = (expert + 1) % count
        yield f"it is expert {neighbour}", expected.expert(place, neighbour)[rows]
    whole = expected.expert(place, expert)
    if whole.shape[0] == whole.shape[1]:
        yield "it is transposed", np.ascontiguousarray(whole.T)[rows]


def objection(
    actual: Floats, source: Floats, bound: npt.NDArray[np.float64], wrong: Iterator[Alternative]
) -> str | None:
    """Return what the artifact's rows look like instead of the source's, or None where the source fits best."""
    limit = 2 * bound.max(initial=0.0)
    error = _distance(actual, source)
    for what, other in wrong:
        differs = np.abs(other.astype(np.float64) - source).max(initial=0.0) > limit
        if differs and _distance(actual, other) <= error:
            return what
    return None


def _interleaved(expected: Expectations, place: ExpertPlace, expert: int) -> Floats:
    gate = expected.expert(ExpertPlace(prefix=place.prefix, projection="gate"), expert)
    up = expected.expert(ExpertPlace(prefix=place.prefix, projection="up"), expert)
    return np.concatenate([gate, up])[(0 if place.projection == "gate" else 1) :: 2]


def _distance(one: Floats, other: Floats) -> float:
    return float(np.square(one.astype(np.float64) - other).sum())
