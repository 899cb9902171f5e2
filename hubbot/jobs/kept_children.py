"""The children that wait for the next stage of their job: at most one for each job, in one process of the bot.

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
        self._lock = threading.Lock()
        self._closed = False

    def take(self, owner: int) -> Kept | None:
        """Return the child that waits for `owner`, which whoever takes it ends or gives back; None without one."""
        with self._lock:
            found = self._waiting.pop(owner, None)
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

    def end(self, owner: int) -> None:
        """End the child that waits for `owner`, if there is one."""
        found = self.take(owner)
        if found is not None:
            found.end()

    def close(self) -> None:
        """End all, and whatever is given back from now on."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, {}
        for child in waiting.values():
            child.end()
