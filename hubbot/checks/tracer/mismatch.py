"""What is wrong with an output that does not hold what it was promised, in words that name layer and expert."""

from collections.abc import Iterator

import numpy as np

from hubbot.checks.tracer.describe import Teller, fold
from hubbot.checks.tracer.element_ids import NOWHERE, Indices
from hubbot.checks.tracer.trace import Followed


class Explaining:
    """The promises of one twin, looked up by the elements that they name."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._teller = Teller(followed.numbering)
        self._owners = {_key(part): owner for owner, part in self._promises()}

    def _promises(self) -> Iterator[tuple[tuple[str, int | None], Indices]]:
        for name, traced in self._followed.promised.items():
            if name in self._followed.stacks:
                for expert, part in enumerate(traced.elements):
                    yield (name, expert), part
            else:
                yield (name, None), traced.elements

    def explain(self, name: str) -> dict[str, str]:
        """Return subject, measured, allowed and reason of a finding on parameter `name`, which is wrong."""
        made, promised = self._followed.made[name], self._followed.promised[name]
        if made.elements.shape != promised.elements.shape:
            shapes = [str(list(one.elements.shape)) for one in (made, promised)]
            return {"subject": name, "measured": shapes[0], "allowed": shapes[1], "reason": "not its shape"}
        if np.array_equal(made.elements, promised.elements):
            folds = [f"the source's element{fold(one)}" for one in (made, promised)]
            return {
                "subject": name,
                "measured": folds[0],
                "allowed": folds[1],
                "reason": "not the fold that is due",
            }
        if name not in self._followed.stacks:
            return self._differing(name, name, made.elements, promised.elements)
        differ = (made.elements != promised.elements).reshape(len(made.elements), -1).any(axis=1)
        expert = int(differ.argmax())
        told = self._differing(f"{name}, expert {expert}", name, made.elements[expert], promised.elements[expert])
        return {**told, "reason": f"{told['reason']}; {int(differ.sum())} of {len(differ)} experts are wrong"}

    def _differing(self, subject: str, name: str, made: Indices, promised: Indices) -> dict[str, str]:
        return {
            "subject": subject,
            "measured": str(self._teller.part(made)),
            "allowed": str(self._teller.part(promised)),
            "reason": self._kind(name, made, promised),
        }

    def _kind(self, name: str, made: Indices, promised: Indices) -> str:
        owner = self._owners.get(_key(made))
        if owner is not None:
            other, expert = owner
            if other == name:
                return f"it holds expert {expert} in its place"
            return f"it holds what belongs into {other}" + ("" if expert is None else f", expert {expert}")
        if (made == NOWHERE).any():
            return "it holds numbers that no source element has"
        if np.array_equal(np.sort(made, axis=None), np.sort(promised, axis=None)):
            return "it holds the right elements in another order"
        return "it holds other elements of the source"


def _key(elements: Indices) -> tuple[tuple[int, ...], int]:
    return elements.shape, hash(np.ascontiguousarray(elements).tobytes())
