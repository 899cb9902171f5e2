"""Read and write files past the system's file cache, where the system offers that.

Gigabytes that are used once would push other files out of the cache, and making room for them can cost more than
the arithmetic. Bytes that are cached already are taken from there. Linux: O_DIRECT for whole blocks (open(2)), the
cache for the edges; macOS: F_NOCACHE (fcntl(2)); elsewhere, and on file systems without it: as usual.
"""

import errno
import mmap
import os
import random
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hubbot.files.atomic_folders import flush

BLOCK: Final = 4096
# Bytes that go between a file and memory at once.
PIECE: Final = 2 << 20
# Below this the cache is the shorter way.
SMALLEST: Final = 64 << 10
# Places looked at to tell whether a stretch lies in the cache.
LOOKS: Final = 3
_MACOS_NOCACHE: Final = 48  # F_NOCACHE of <fcntl.h>


class _Aligned(threading.local):
    """A buffer on a block's boundary for every thread, as O_DIRECT demands."""

    def __init__(self) -> None:
        # Private, for a shared one would be written by every fork of this process at once.
        self.view = memoryview(mmap.mmap(-1, PIECE + 2 * BLOCK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


_aligned: Final = _Aligned()


class UncachedReader:
    """A file open for reading; several threads may read at once."""

    def __init__(self, path: Path) -> None:
        self._cached = os.open(path, os.O_RDONLY)
        self._direct = _open_direct(path, os.O_RDONLY, self._cached)
        if self._direct is not None:
            # Else a look at one byte would fetch its neighbours.
            os.posix_fadvise(self._cached, 0, 0, os.POSIX_FADV_RANDOM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        _close(self._cached, self._direct)

    def fill(self, view: memoryview, offset: int) -> int:
        """Fill `view` with the bytes at `offset`; return how many there are, fewer only where the file ends.

        Raises OSError where the disk fails.
        """
        done = 0
        while done < len(view):
            count = self._read_into(view[done:], offset + done)
            if count == 0:
                break
            done += count
        return done

    def _read_into(self, view: memoryview, offset: int) -> int:
        if self._direct is None or len(view) < SMALLEST or self._is_cached(len(view), offset):
            return _read_cached(self._cached, view, offset)
        first = offset % BLOCK
        wanted = min(len(view), PIECE)
        buffer = _aligned.view[: -(-(first + wanted) // BLOCK) * BLOCK]
        try:
            count = os.preadv(self._direct, [buffer], offset - first)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return _read_cached(self._cached, view, offset)
        count = max(0, min(wanted, count - first))
        view[:count] = buffer[first : first + count]
        return count

    def _is_cached(self, size: int, offset: int) -> bool:
        byte = bytearray(1)
        try:
            # At random: what one look leaves in the cache must not mislead the next run's.
            return all(
                os.preadv(self._cached, [byte], offset + random.randrange(size), os.RWF_NOWAIT)  # noqa: S311
                for _ in range(LOOKS)
            )
        except OSError:
            return False


class UncachedFolder:
    """The files of one folder, opened when they are first read; use as a context manager.

    Several threads may read. `bytes_read` counts the bytes returned so far.
    """

    def __init__(self, folder: Path) -> None:
        self.bytes_read = 0
        self._folder = folder
        self._files: dict[str, UncachedReader] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in tuple(self._files):
            self.release(name)

    def fill(self, view: memoryview, name: str, offset: int) -> int:
        """Fill `view` with the bytes of file `name` at `offset`; return how many there are. Raises OSError."""
        with self._lock:
            if name not in self._files:
                self._files[name] = UncachedReader(self._folder / name)
            file = self._files[name]
        count = file.fill(view, offset)
        with self._lock:
            self.bytes_read += count
        return count

    def release(self, name: str) -> None:
        """Close one file: nothing is read from it any more."""
        with self._lock:
            file = self._files.pop(name, None)
        if file is not None:
            file.close()


class UncachedWriter:
    """A file open for writing at any offset, and for reading what was written; one thread writes."""

    def __init__(self, path: Path) -> None:
        self._cached = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self._direct = _open_direct(path, os.O_WRONLY, self._cached)

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of `data` at `offset`; raises OSError where the disk fails or is full."""
        start = -(-offset // BLOCK) * BLOCK
        stop = (offset + len(data)) // BLOCK * BLOCK
        if self._direct is None or stop - start < SMALLEST:
            _write_cached(self._cached, data, offset)
            return
        _write_cached(self._cached, data[: start - offset], offset)
        blocks = data[start - offset : stop - offset]
        if not _write_blocks(self._direct, blocks, start):
            _write_cached(self._cached, blocks, start)
        _write_cached(self._cached, data[stop - offset :], stop)

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes at `offset`."""
        return os.pread(self._cached, size, offset)

    def truncate(self, size: int) -> None:
        """Give the file its size."""
        os.ftruncate(self._cached, size)

    def sync(self) -> None:
        """Return when every byte is on the disk; raises OSError where the disk fails."""
        flush(self._cached)

    def close(self) -> None:
        """Close the file."""
        _close(self._cached, self._direct)


def _write_cached(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _write_blocks(descriptor: int, data: memoryview, offset: int) -> bool:
    """Write whole blocks; False where the file system takes none."""
    done = 0
    while done < len(data):
        count = min(PIECE, len(data) - done)
        buffer = _aligned.view[:count]
        buffer[:] = data[done : done + count]
        try:
            # One cut short goes on from a block's boundary.
            done += os.pwrite(descriptor, buffer, offset + done) // BLOCK * BLOCK
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
    return True


def _open_direct(path: Path, flags: int, cached: int) -> int | None:
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - Windows has none

        fcntl.fcntl(cached, _MACOS_NOCACHE, 1)
        return None
    if not hasattr(os, "O_DIRECT"):
        return None
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError:
        return None  # not every file system has it


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


def _read_cached(descriptor: int, view: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], offset)
    data = os.pread(descriptor, len(view), offset)  # macOS before 11
    view[: len(data)] = data
    return len(data)
