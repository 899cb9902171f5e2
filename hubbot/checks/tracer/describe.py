"""Describes where an output's elements come from: which source tensors, in which order, which part of each.

It judges nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hubbot.checks.tracer.element_ids import NOWHERE, Indices, Numbering, Traced
from hubbot.checks.tracer.strided_view import View, view_of

SHOWN = 8
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorOrigin:
    """Where something comes from: `sources` are tensor names in order, `how` says what is made of them."""

    sources: tuple[str, ...]
    how: str

    def __str__(self) -> str:
        more = f" and {len(self.sources) - 1} more" if len(self.sources) > 1 else ""
        return f"{self.sources[0]}{more}, {self.how}" if self.sources else self.how


@dataclass(frozen=True)
class OriginDescriber:
    """Describes where the outputs of one twin come from; a view that several share is worked out once."""

    numbering: Numbering
    _known: dict[tuple[int, int, tuple[int, ...]], View | None] = field(default_factory=dict)

    def describe(self, traced: Traced) -> TensorOrigin:
        """Return where a whole output comes from, and what was done to its numbers."""
        elements = traced.elements
        is_stack = elements.ndim > 1 and not traced.is_computed and len(self._tensors(elements)) > 1
        origin = _stacked([self.part(step) for step in elements]) if is_stack else self.part(elements)
        return TensorOrigin(sources=origin.sources, how=origin.how + fold(traced))

    def part(self, elements: Indices) -> TensorOrigin:
        """Return where `elements` [...] of an output, one expert's for instance, come from."""
        lost = int((elements == NOWHERE).sum())
        if lost:
            return TensorOrigin(sources=(), how=f"{lost} of {elements.size} numbers are no source element's")
        tensors = self._tensors(elements)
        names = tuple(self.numbering.names[tensor] for tensor in tensors)
        if len(tensors) > 1:
            return TensorOrigin(sources=names, how="mixed")
        view = self._view(elements, names[0], tensors[0])
        return TensorOrigin(sources=names, how="in an order that is no part of it" if view is None else str(view))

    def _tensors(self, elements: Indices) -> Sequence[int]:
        low, high = (int(self.numbering.tensor_of(end)) for end in (elements.min(), elements.max()))
        if low == high:
            return [low]
        return [int(found) for found in np.unique(self.numbering.tensor_of(elements))]

    def _view(self, elements: Indices, name: str, tensor: int) -> View | None:
        local = elements - self.numbering.starts[tensor]
        key = (hash(local.tobytes()), local.size, self.numbering.shapes[name])
        if key not in self._known:
            self._known[key] = view_of(local, self.numbering.shapes[name])
        return self._known[key]


def fold(traced: Traced) -> str:
    """Return what was done to the numbers, "" where nothing was."""
    factor = "" if traced.scale == 1 else f", times {traced.scale:g}"
    return factor + ("" if traced.addend == 0 else f", plus {traced.addend:g}")


def _stacked(steps: Sequence[TensorOrigin]) -> TensorOrigin:
    """Return what stands for the steps of a stack: of which experts, in which order."""
    names = tuple(name for step in steps for name in step.sources)
    hows = {step.how for step in steps}
    if len(names) != len(steps) or len(hows) > 1 or len({pattern(name) for name in names}) > 1:
        return TensorOrigin(sources=names, how="stacked from parts of several kinds")
    numbers = [int((_NUMBER.findall(name) or ["0"])[-1]) for name in names]
    each = f"each {hows.pop()}"
    if numbers == list(range(len(names))):
        return TensorOrigin(sources=names, how=f"stacked in expert order, {each}")
    more = ", ..." if len(numbers) > SHOWN else ""
    return TensorOrigin(
        sources=names, how=f"stacked as experts {', '.join(map(str, numbers[:SHOWN]))}{more}, {each}"
    )


def pattern(name: str) -> str:
    """Return a tensor's name with {l} for the number of its layer and {e} for that of its expert."""
    name = re.sub(r"(\blayers\.)\d+(?=\.)", r"\g<1>{l}", name)
    return re.sub(r"(\bexperts\.)\d+(?=\.)", r"\g<1>{e}", name)


def layer_of(name: str) -> int | None:
    """Return the number of the layer that a tensor belongs to, or None."""
    found = re.search(r"\blayers\.(\d+)\.", name)
    return int(found[1]) if found else None
