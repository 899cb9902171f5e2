"""A file that is written at any offset and hashed from its beginning while the bytes are still in memory.

Bytes that come before their turn are kept until it comes, up to HELD_BYTES in all files that grow together; the
rest is read again from the file. One thread writes, another one digests.
"""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

from hubbot.files.uncached import UncachedWriter

# What waits for the pieces before it: the scales of a tensor whose codes are still to come.
HELD_BYTES = 16 << 20
BLOCK = 1 << 20


class HashingFile:
    """A file of known size: `header`, then tensors at `spans` (start, bytes) in file order without holes.

    `together` is the number of files that grow at the same time, and share what may be kept.
    """

    def __init__(self, path: Path, header: bytes, spans: Sequence[tuple[int, int]], *, together: int = 1) -> None:
        self.size = spans[-1][0] + spans[-1][1] if spans else len(header)
        self._file = UncachedWriter(path)
        self._order = [start for start, nbytes in spans if nbytes]
        self._missing = {start: nbytes for start, nbytes in spans if nbytes}
        self._next = 0
        self._lock = threading.Lock()
        self._sha = hashlib.sha256(header)
        self._hashed = len(header)
        self._held: dict[int, memoryview] = {}
        self._held_bytes = 0
        self._most_held = HELD_BYTES // together
        self._file.write(memoryview(header), 0)
        self._file.truncate(self.size)

    @property
    def is_complete(self) -> bool:
        """Say whether every byte is written."""
        return not self._missing

    def write(self, offset: int, span: int, data: memoryview) -> None:
        """Write `data` of the tensor that starts at `span`; it must not change afterwards."""
        self._file.write(data, offset)
        with self._lock:
            self._missing[span] -= len(data)
            if not self._missing[span]:
                del self._missing[span]
            if offset == self._hashed or self._held_bytes + len(data) <= self._most_held:
                self._held[offset] = data
                self._held_bytes += len(data)

    def digest(self) -> str | None:
        """Hash what can be hashed; return the sha256 once the file is complete and on the disk, None before."""
        while True:
            data, stop = self._ready()
            if data is not None:
                self._sha.update(data)
            elif stop > self._hashed:
                self._read_again(stop)
            else:
                break
            self._hashed = stop
        if self._hashed < self.size:
            return None
        self._file.sync()
        return self._sha.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._held.clear()
        self._file.close()

    def _ready(self) -> tuple[memoryview | None, int]:
        """Return the piece that comes next with its end, or (None, up to where the file can be read)."""
        with self._lock:
            data = self._held.pop(self._hashed, None)
            if data is not None:
                self._held_bytes -= len(data)
                return data, self._hashed + len(data)
            following = min((at for at in self._held if at > self._hashed), default=self.size)
            return None, min(self._complete_up_to(), following)

    def _read_again(self, stop: int) -> None:
        at = self._hashed
        while at < stop:
            block = self._file.read(min(BLOCK, stop - at), at)
            self._sha.update(block)
            at += len(block)

    def _complete_up_to(self) -> int:
        while self._next < len(self._order) and self._order[self._next] not in self._missing:
            self._next += 1
        return self._order[self._next] if self._next < len(self._order) else self.size
