"""The bytes of all files, named by their content: `git/` by git sha1, `lfs/` by sha256.

A blob is written aside and renamed, so one that exists is complete, also after kill -9.
Never knows which repo a blob belongs to, and never holds a large one in memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import AsyncIterable, Iterable, Iterator
from pathlib import Path

from hubbot.devhub.incoming import Incoming
from hubbot.devhub.stored_objects import Entry, git_oid, lfs_pointer
from hubbot.devhub.wire_errors import WireError

CHUNK = 1024 * 1024


class Blobs:
    """The content-addressed store under one folder."""

    def __init__(self, root: Path) -> None:
        self._git = root / "git"
        self._lfs = root / "lfs"
        self._incoming = Incoming(root / "incoming")
        for folder in (self._git, self._lfs):
            folder.mkdir(parents=True, exist_ok=True)

    def path_of(self, entry: Entry) -> Path:
        """Return the file that holds an entry's bytes."""
        if entry.sha256 is not None:
            return self._lfs / entry.sha256[:2] / entry.sha256
        return self._git / entry.oid[:2] / entry.oid

    def add_regular(self, content: bytes) -> Entry:
        """Keep a small file and return its entry."""
        entry = Entry(size=len(content), oid=git_oid(content))
        if not self.path_of(entry).exists():
            with self._incoming.aside() as aside:
                aside.write(content)
            self._keep(Path(aside.name), entry)
        return entry

    def add_large(self, chunks: Iterable[bytes]) -> Entry:
        """Keep a large file from its chunks and return its entry."""
        digest = hashlib.sha256()
        size = 0
        with self._incoming.aside() as aside:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                aside.write(chunk)
        entry = large_entry(digest.hexdigest(), size)
        self._keep(Path(aside.name), entry)
        return entry

    def add_file(self, path: Path, *, large: bool) -> Entry:
        """Keep a copy of a local file and return its entry."""
        if not large:
            return self.add_regular(path.read_bytes())
        return self.add_large(read_chunks([path]))

    def find_large(self, sha256: str) -> Entry | None:
        """Return the entry of an LFS object that is here, else None."""
        path = self._lfs / sha256[:2] / sha256
        return large_entry(sha256, path.stat().st_size) if path.exists() else None

    async def receive(self, stream: AsyncIterable[bytes], *, sha256: str, size: int) -> Entry:
        """Keep an upload whose content is promised; raises a 400 WireError if it is something else."""
        digest = hashlib.sha256()
        path = await self._incoming.write(stream, limit=size, digest=digest)
        if path.stat().st_size != size or digest.hexdigest() != sha256:
            path.unlink()
            raise WireError(400, "The uploaded bytes do not have the announced size and sha256")
        entry = large_entry(sha256, size)
        self._keep(path, entry)
        return entry

    async def receive_part(self, stream: AsyncIterable[bytes], *, sha256: str, part: int, limit: int) -> str:
        """Keep one part of a multipart upload and return its ETag (the part's sha256)."""
        digest = hashlib.sha256()
        path = await self._incoming.write(stream, limit=limit, digest=digest)
        folder = self._incoming.folder / sha256
        folder.mkdir(exist_ok=True)
        path.replace(folder / str(part))
        return digest.hexdigest()

    def join_parts(self, sha256: str, size: int, parts: int) -> Entry:
        """Make the object out of its parts; raises a 400 WireError if they do not add up to it."""
        folder = self._incoming.folder / sha256
        files = [folder / str(number) for number in range(1, parts + 1)]
        if not all(file.exists() for file in files):
            raise WireError(400, "Parts are missing")
        entry = self.add_large(read_chunks(files))
        shutil.rmtree(folder)
        if (entry.sha256, entry.size) != (sha256, size):
            raise WireError(400, "The parts do not add up to the announced size and sha256")
        return entry

    def _keep(self, path: Path, entry: Entry) -> None:
        final = self.path_of(entry)
        final.parent.mkdir(exist_ok=True)
        path.replace(final)


def large_entry(sha256: str, size: int) -> Entry:
    """Return the entry of an LFS file; its oid is that of the pointer git would hold."""
    return Entry(size=size, oid=git_oid(lfs_pointer(sha256, size)), sha256=sha256)


def read_chunks(paths: Iterable[Path]) -> Iterator[bytes]:
    """Yield the bytes of files one after the other, a chunk at a time."""
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file so that a reader, or a restart, sees the old or the new one."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)  # noqa: PTH105 - the guarantee quoted by its own name
