"""The wrong readings of a source that pass every name and shape check, and whether an artifact fits one.

An alternative counts only where the source under it differs from the true source by more than twice the bound.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.readers.tensor_files import Floats

Alternative = tuple[str, Floats]
Rows = npt.NDArray[np.int64]
_OTHER = {"gate": "up", "up": "gate"}
_PROJECTIONS = ("gate", "up", "down")


def alternatives(
    expected: Expectations, place: ExpertPlace, expert: int, others: Iterable[int], rows: Rows
) -> Iterator[Alternative]:
    """Yield (what would be wrong, the source's `rows` read that way) for one expert's projection."""
    whole = expected.expert(place, expert)
    if place.projection in _OTHER:
        gate, up = (expected.expert(_at(place, name), expert) for name in ("gate", "up"))
        yield "gate and up are swapped", (up if place.projection == "gate" else gate)[rows]
        half = 0 if place.projection == "gate" else 1
        fused = np.concatenate([gate, up])
        yield "the halves are taken as interleaved", np.ascontiguousarray(fused[half::2])[rows]
        interleaved = np.stack([gate, up], axis=1).reshape(fused.shape)
        yield "interleaved rows are taken as halves", np.split(interleaved, 2)[half][rows]
    for other in others:
        yield f"it is expert {other}", expected.expert(place, other)[rows]
    if whole.ndim == 2 and whole.shape[0] == whole.shape[1]:
        yield "it is transposed", np.ascontiguousarray(whole.T)[rows]
    for name in _PROJECTIONS:
        if name != place.projection and _OTHER.get(name) != place.projection:
            there = expected.expert(_at(place, name), expert)
            if there.shape == whole.shape:
                yield f"it is the {name} projection", there[rows]


def elsewhere(
    expected: Expectations, parameter: str, shapes: dict[str, tuple[int, ...]], rows: Rows
) -> Iterator[Alternative]:
    """Yield the rows of every other plain parameter of the same shape, and of the transposed one."""
    shape = shapes[parameter]
    for name, other in shapes.items():
        if name != parameter and other == shape and expected.place(name) is None and expected.source_name(name):
            yield f"it is {name}", expected.rows(name, 0, shape[0])[rows]
    if len(shape) == 2 and shape[0] == shape[1]:
        yield "it is transposed", np.ascontiguousarray(expected.rows(parameter, 0, shape[0]).T)[rows]


def objection(
    actual: Floats, source: Floats, bound: npt.NDArray[np.float64], wrong: Iterator[Alternative]
) -> str | None:
    """Return what the artifact's rows look like instead of the source's, or None where the source fits best."""
    limit = 2 * bound.max(initial=0.0)
    error = _distance(actual, source)
    best: tuple[float, str] | None = None
    for what, other in _readable(wrong):
        differs = np.abs(other.astype(np.float64) - source).max(initial=0.0) > limit
        distance = _distance(actual, other) if differs else np.inf
        if distance <= error and (best is None or distance < best[0]):
            best = (distance, what)
    return best[1] if best else None


def _readable(wrong: Iterator[Alternative]) -> Iterator[Alternative]:
    """Yield the alternatives, as far as the source's files are here: some may come later or be released."""
    with suppress(FileNotFoundError):
        yield from wrong


def _at(place: ExpertPlace, projection: str) -> ExpertPlace:
    return replace(place, projection=projection)


def _distance(one: Floats, other: Floats) -> float:
    return float(np.square(one.astype(np.float64) - other).sum())
