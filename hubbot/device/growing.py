"""One weight file as it grows: written at any offset, hashed from the front as far as it is complete.

Hashing behind the writer costs no second pass at the end. One thread writes, one other may digest.
"""

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

# How much must be complete before it is worth a turn of the hashing thread.
TURN_BYTES = 64 << 20
BLOCK = 1 << 20


class GrowingFile:
    """A file of known size: `header`, then tensors at `spans` (start, bytes) in file order without holes."""

    def __init__(self, path: Path, header: bytes, spans: Sequence[tuple[int, int]]) -> None:
        self.size = spans[-1][0] + spans[-1][1] if spans else len(header)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self._order = [start for start, nbytes in spans if nbytes]
        self._missing = {start: nbytes for start, nbytes in spans if nbytes}
        self._next = 0
        self._lock = threading.Lock()
        self._sha = hashlib.sha256()
        self._hashed = 0
        self._announced = 0
        os.pwrite(self._descriptor, header, 0)
        os.ftruncate(self._descriptor, self.size)

    @property
    def is_complete(self) -> bool:
        """Say whether every byte is written."""
        return not self._missing

    def write(self, offset: int, span: int, data: memoryview) -> bool:
        """Write `data` of the tensor that starts at `span`; return whether `digest` has work enough for a turn."""
        done = 0
        while done < len(data):
            done += os.pwrite(self._descriptor, data[done:], offset + done)
        with self._lock:
            self._missing[span] -= len(data)
            if not self._missing[span]:
                del self._missing[span]
            turn = self.is_complete or self._complete_up_to() - self._announced >= TURN_BYTES
            if turn:
                self._announced = self._complete_up_to()
            return turn

    def digest(self) -> str | None:
        """Hash what is complete; return the sha256 once all is, with the bytes safely on the disk."""
        with self._lock:
            stop = self._complete_up_to()
        while self._hashed < stop:
            block = os.pread(self._descriptor, min(BLOCK, stop - self._hashed), self._hashed)
            self._sha.update(block)
            self._hashed += len(block)
        if self._hashed < self.size:
            return None
        os.fsync(self._descriptor)
        return self._sha.hexdigest()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _complete_up_to(self) -> int:
        while self._next < len(self._order) and self._order[self._next] not in self._missing:
            self._next += 1
        return self._order[self._next] if self._next < len(self._order) else self.size
