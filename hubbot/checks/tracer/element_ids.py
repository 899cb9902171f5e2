"""Gives every element of a twin (a shrunken model) a number, and finds the elements of an output by their numbers.

There are two numberings, the second a permutation of the first: an output element that looks like a source element
under both is one; under one alone it may be a sum of others. Float32 holds every number exactly.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.tensor_files import Floats
from hubbot.errors import ConfigUnresolved

Indices = npt.NDArray[np.int64]
# Numbers, and what may be added to them, stay below 2^24.
MOST = (1 << 24) - 64
NOWHERE = -1
# What a converter may add, or add twice, before anything is known of the tensor.
ADDENDS = (0.0, 1.0, 2.0, -1.0)
SEED = 20_26


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """Where the elements of one output come from: source elements, numbered through, or NOWHERE.

    The output is `scale` times the source element plus `addend`.
    """

    elements: Indices
    scale: float = 1.0
    addend: float = 0.0

    @property
    def is_computed(self) -> bool:
        """Say whether some element is no source element's, nor a fold of one."""
        return bool((self.elements == NOWHERE).any())


@dataclass(frozen=True)
class Numbering:
    """Tensors of `shapes` by name, their elements numbered through in that order."""

    shapes: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.total > MOST:
            raise ConfigUnresolved(f"the twin has {self.total} elements; float32 tells no more than {MOST} apart")

    @property
    def total(self) -> int:
        """Return how many elements there are."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @cached_property
    def starts(self) -> Indices:
        """Return the first element of every tensor, and the end: int64 [tensors + 1]."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the tensors."""
        return tuple(self.shapes)

    @cached_property
    def passes(self) -> tuple[Floats, Floats]:
        """Return both numberings, each float32 [total]: the numbers of all elements in order, from 1 on."""
        straight = np.arange(1, self.total + 1, dtype=np.int32)
        # At random: under any rule as plain as the first numbering sums would look like elements in both.
        return straight.astype(np.float32), np.random.default_rng(SEED).permutation(straight).astype(np.float32)

    def tensors(self, number: int) -> Iterator[tuple[str, Floats]]:
        """Yield (name, float32 [*shape]) of every tensor under numbering `number`, 0 or 1."""
        values = self.passes[number]
        for position, (name, shape) in enumerate(self.shapes.items()):
            yield name, values[self.starts[position] : self.starts[position + 1]].reshape(shape)

    def trace(self, first: Floats, second: Floats, guess: Indices | None = None) -> Traced:
        """Return where an output came from that is `first` under one numbering and `second` under the other.

        Both are float32 of the output's shape [...], as is the result's int64 `elements`. A factor is found only
        where `guess` [...] says which source elements it may have been.
        """
        for addend in ADDENDS:
            found = self._shifted(first, second, addend)
            if (found != NOWHERE).all():
                return Traced(elements=found, addend=addend)
        folded = None if guess is None or guess.shape != first.shape else self._folded(first, second, guess)
        return folded or Traced(elements=self._shifted(first, second, 0.0))

    def _shifted(self, first: Floats, second: Floats, addend: float) -> Indices:
        numbers = first.astype(np.float64) - addend
        known = np.isfinite(numbers) & (numbers >= 1) & (numbers <= self.total) & (numbers == np.rint(numbers))
        elements = np.where(known, numbers - 1, 0).astype(np.int64)
        known &= self.passes[1][elements] == second.astype(np.float64) - addend
        return np.where(known, elements, NOWHERE)

    def _folded(self, first: Floats, second: Floats, guess: Indices) -> Traced | None:
        """Return the output as one affine fold of the guessed elements, the same under both numberings."""
        if (guess == NOWHERE).any() or guess.size < 2:
            return None
        sources = [values[guess].astype(np.float64).ravel() for values in self.passes]
        low, high = int(sources[0].argmin()), int(sources[0].argmax())
        made = [first.astype(np.float64).ravel(), second.astype(np.float64).ravel()]
        scale = (made[0][high] - made[0][low]) / (sources[0][high] - sources[0][low])
        addend = made[0][low] - scale * sources[0][low]
        fits = all(
            np.allclose(y, scale * x + addend, rtol=1e-6, atol=1e-6) for x, y in zip(sources, made, strict=True)
        )
        return Traced(elements=guess, scale=float(scale), addend=float(addend)) if fits and scale else None

    def tensor_of(self, elements: Indices) -> Indices:
        """Return the position of the tensor that each of `elements` [...] belongs to, int64 [...]."""
        found: Indices = np.searchsorted(self.starts, elements, side="right") - 1
        return found
