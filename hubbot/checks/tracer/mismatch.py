"""Words for an output that does not hold the source elements it should hold, with layer and expert."""

from collections.abc import Iterator

import numpy as np

from hubbot.artifacts import Finding
from hubbot.checks.tracer import finding
from hubbot.checks.tracer.describe import OriginDescriber, fold
from hubbot.checks.tracer.element_ids import NOWHERE, Indices
from hubbot.checks.tracer.trace import TraceResult


class MismatchExplainer:
    """Looks up, by its elements, which parameter (and expert) of one traced model should hold a tensor."""

    def __init__(self, trace: TraceResult) -> None:
        self._trace = trace
        self._describer = OriginDescriber(trace.numbering)
        self._owners = {_key(part): owner for owner, part in self._expected_parts()}

    def _expected_parts(self) -> Iterator[tuple[tuple[str, int | None], Indices]]:
        for name, traced in self._trace.expected.items():
            if name in self._trace.stacks:
                for expert, part in enumerate(traced.elements):
                    yield (name, expert), part
            else:
                yield (name, None), traced.elements

    def explain(self, name: str) -> Finding:
        """Return the failed finding on parameter `name`, which does not hold what it should."""
        actual, expected = self._trace.actual[name], self._trace.expected[name]
        if actual.elements.shape != expected.elements.shape:
            found, due = (str(list(traced.elements.shape)) for traced in (actual, expected))
            return finding("mapping", name, found, due, "fail", "not its shape")
        if np.array_equal(actual.elements, expected.elements):
            found, due = (f"the source's element{fold(traced)}" for traced in (actual, expected))
            return finding("mapping", name, found, due, "fail", "changed by other arithmetic than the rule's")
        if name not in self._trace.stacks:
            return self._differing(name, name, actual.elements, expected.elements)
        differ = (actual.elements != expected.elements).reshape(len(actual.elements), -1).any(axis=1)
        expert = int(differ.argmax())
        count = f"; {int(differ.sum())} of {len(differ)} experts are wrong"
        parts = (actual.elements[expert], expected.elements[expert])
        return self._differing(f"{name}, expert {expert}", name, *parts, count)

    def _differing(self, subject: str, name: str, actual: Indices, expected: Indices, more: str = "") -> Finding:
        describe = self._describer.part
        reason = self._kind(name, actual, expected) + more
        return finding("mapping", subject, str(describe(actual)), str(describe(expected)), "fail", reason)

    def _kind(self, name: str, actual: Indices, expected: Indices) -> str:
        owner = self._owners.get(_key(actual))
        if owner is not None:
            other, expert = owner
            if other == name:
                return f"it holds expert {expert} in its place"
            return f"it holds what belongs into {other}" + ("" if expert is None else f", expert {expert}")
        if (actual == NOWHERE).any():
            return "it holds numbers that no source element has"
        if np.array_equal(np.sort(actual, axis=None), np.sort(expected, axis=None)):
            return "it holds the right elements in another order"
        return "it holds other elements of the source"


def _key(elements: Indices) -> tuple[tuple[int, ...], int]:
    return elements.shape, hash(np.ascontiguousarray(elements).tobytes())
