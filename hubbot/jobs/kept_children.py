"""The children that wait for the next stage: at most one for each job, and one spare that a job has left behind.

It starts none and asks none anything; it only hands out, takes back and ends.
"""

import threading
from typing import Generic, Protocol, TypeVar


class Ended(Protocol):
    """What can be kept."""

    @property
    def is_there(self) -> bool:
        """Say whether it still lives."""

    def end(self) -> None:
        """End it."""


Kept = TypeVar("Kept", bound=Ended)


class KeptChildren(Generic[Kept]):
    """Children by the id of their job; lanes of one runner share them. A closed one keeps none."""

    def __init__(self) -> None:
        self._waiting: dict[int, Kept] = {}
        self._spare: Kept | None = None
        self._lock = threading.Lock()
        self._closed = False

    def take(self, owner: int) -> Kept | None:
        """Return the child that waits for `owner`, else the spare; whoever takes it ends it or gives it back.

        Returns None without either.
        """
        with self._lock:
            found = self._waiting.pop(owner, None)
            if found is None:
                found, self._spare = self._spare, None
        if found is not None and not found.is_there:
            found.end()
            return None
        return found

    def give_back(self, owner: int, child: Kept) -> None:
        """Keep the child for the next stage of `owner`."""
        with self._lock:
            surplus = child if self._closed else self._waiting.pop(owner, None)
            if not self._closed:
                self._waiting[owner] = child
        if surplus is not None:
            surplus.end()

    def hand_on(self, owner: int) -> None:
        """Keep the child that waits for `owner`, if there is one, for the job that asks next."""
        with self._lock:
            found = self._waiting.pop(owner, None)
            surplus = found if self._spare is not None else None
            if found is not None and surplus is None:
                self._spare = found
        if surplus is not None:
            surplus.end()

    def close(self) -> None:
        """End all, and whatever is given back from now on."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = [*self._waiting.values()], {}
            if self._spare is not None:
                waiting.append(self._spare)
            self._spare = None
        for child in waiting:
            child.end()
