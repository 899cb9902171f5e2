"""Random projections of experts: a few sums for each, by which all experts of a layer are compared.

They are sums of an expert's seeded rows under seeded signs, for the source and for the artifact. Distances survive
within some ten percent, so a projection only names suspects; their rows are then compared one by one.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.tensor_files import Floats

SEED = 20_26
SUMS = 4
# Rows are not compared where the distance to the own source is below half of that to the nearest other.
CLEARLY = 0.5
SAME = 1e-5


@dataclass(slots=True, kw_only=True)
class RandomProjections:
    """One projection of one layer: float32 [experts, sums] of the source and of the artifact."""

    source: list[Floats] = field(default_factory=list)
    actual: list[Floats] = field(default_factory=list)

    def add(self, source: Floats, actual: Floats) -> None:
        """Add the next experts' seeded rows, [experts, rows, in]."""
        self.add_projected(projected(source), projected(actual))

    def add_projected(self, source: Floats, actual: Floats) -> None:
        """Add the next experts, what `projected` made of their rows."""
        self.source.append(source)
        self.actual.append(actual)

    def suspects(self) -> Iterator[tuple[int, int]]:
        """Yield (expert, the other expert whose source it is nearest to) where its own is not clearly nearer."""
        source, actual = np.concatenate(self.source), np.concatenate(self.actual)
        if len(source) < 2:
            return
        distances = _distances(actual, source)
        with np.errstate(invalid="ignore", over="ignore"):
            own = np.nan_to_num(np.square(actual - source).sum(axis=1, dtype=np.float64), nan=np.inf)
        np.fill_diagonal(distances, np.inf)
        nearest = distances.argmin(axis=1)
        for expert in np.flatnonzero(own > CLEARLY * distances.min(axis=1)):
            yield int(expert), int(nearest[expert])

    def strangers(self, other: "RandomProjections") -> Iterator[int]:
        """Yield the experts to which the source of the `other` projection is as near as their own."""
        actual = np.concatenate(self.actual)
        mine, theirs = np.concatenate(self.source), np.concatenate(other.source)
        if mine.shape != theirs.shape:
            return
        own, swapped = np.square(actual - mine).sum(axis=1), np.square(actual - theirs).sum(axis=1)
        yield from (int(expert) for expert in np.flatnonzero(own > CLEARLY * swapped))

    def twins(self) -> list[tuple[int, int]]:
        """Return pairs of experts whose sources seem to be the same numbers, each with the first such."""
        source = np.concatenate(self.source)
        if len(source) < 2:
            return []
        distances = _distances(source, source)
        alike = distances <= SAME * np.square(source).sum(axis=1)[:, None]
        first = alike.argmax(axis=1)
        return [(int(one), expert) for expert, one in enumerate(first) if one < expert and alike[expert, one]]


def _distances(some: Floats, others: Floats) -> npt.NDArray[np.float64]:
    one, other = some.astype(np.float64), others.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cross = one @ other.T
        squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)[None]
        found: npt.NDArray[np.float64] = np.maximum(squares - 2 * cross, 0)
    return np.nan_to_num(found, nan=np.inf)


def projected(rows: Floats) -> Floats:
    """Return a few sums of each row's numbers, with seeded signs, as [experts, rows * sums]."""
    with np.errstate(invalid="ignore", over="ignore"):
        # Not a matrix product: that would start threads of its own for it.
        sums = [np.einsum("...i,i->...", rows[..., span], signs) for span, signs in _signs(rows.shape[-1])]
    return np.stack(sums, axis=-1).reshape(len(rows), -1)


@cache
def _signs(width: int) -> tuple[tuple[slice, Floats], ...]:
    """Return the spans of `width` columns, each with its signs float32 [span]."""
    signs = np.random.default_rng(SEED + width).choice(np.array([-1, 1], np.float32), width)
    edges = [*np.unique(np.linspace(0, width, SUMS, endpoint=False, dtype=np.int64)), width]
    return tuple((slice(start, stop), signs[start:stop]) for start, stop in itertools.pairwise(edges))
