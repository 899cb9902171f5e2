"""Bodies on their way to disk: written aside under a limit, so that none is ever held in memory.

What a killed process was receiving is worth nothing, and is gone after a restart. Never knows what a body means.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from hubbot.devhub.wire_errors import WireError


class Incoming:
    """The folder of what is arriving."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)

    def aside(self) -> IO[bytes]:
        """Open a new file that the caller renames to its final place."""
        return NamedTemporaryFile(dir=self.folder, delete=False)

    async def write(
        self, stream: AsyncIterable[bytes], *, limit: int, digest: hashlib._Hash | None = None
    ) -> Path:
        """Write a body of at most `limit` bytes aside; raises a 413 WireError if it is longer."""
        with self.aside() as aside, _discarded_on_error(Path(aside.name)):
            async for chunk in _at_most(limit, stream):
                if digest is not None:
                    digest.update(chunk)
                aside.write(chunk)
        return Path(aside.name)


@contextmanager
def _discarded_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink()
        raise


async def _at_most(limit: int, stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    passed = 0
    async for chunk in stream:
        passed += len(chunk)
        if passed > limit:
            raise WireError(413, "More bytes than announced")
        yield chunk
