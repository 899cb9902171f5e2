"""Memory that is read into again and again: new pages for every tensor take the system longer than the copy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt


class ReusedMemory:
    """Arrays for one thread; those that are asked for within `again` are given anew after it."""

    def __init__(self) -> None:
        self._buffers: list[npt.NDArray[np.uint8]] = []
        self._taken = 0

    def array(self, size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an array [size] of any content, which no other has until the block that asked for it ends."""
        nbytes = size * dtype.itemsize
        if self._taken == len(self._buffers):
            self._buffers.append(np.empty(nbytes, np.uint8))
        elif self._buffers[self._taken].nbytes < nbytes:
            self._buffers[self._taken] = np.empty(nbytes, np.uint8)
        found = self._buffers[self._taken]
        self._taken += 1
        return found[:nbytes].view(dtype)

    @contextmanager
    def again(self) -> Iterator["ReusedMemory"]:
        """Give back, at the end of the block, all arrays that were asked for in it."""
        before = self._taken
        try:
            yield self
        finally:
            self._taken = before
