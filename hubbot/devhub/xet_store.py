"""What xet clients uploaded, under one folder: xorbs by hash, files by hash, the chunks that clients ask for.

A file is rebuilt from its xorbs as soon as its shard comes and becomes an LFS object like any other, after its
sha256 was compared. The xorbs stay, for uploads to come refer to them. Never holds a file in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, Iterable, Iterator
from pathlib import Path

from anyio import to_thread

from hubbot.devhub.blobs import Blobs, write_atomically
from hubbot.devhub.incoming import Incoming
from hubbot.devhub.stored_objects import Entry
from hubbot.devhub.wire_errors import bad_request
from hubbot.devhub.xet_shards import (
    MOST_SHARD_BYTES,
    ListedXorb,
    Shard,
    ShardFile,
    Term,
    hash_text,
    read_shard,
    write_xorb_shard,
)
from hubbot.devhub.xet_xorbs import MOST_XORB_BYTES, Chunk, list_chunks, read_chunk


class XetStore:
    """The store of xorbs, beside the blobs that become of them."""

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._blobs = blobs
        self._incoming = Incoming(root / "incoming")
        self._xorbs, self._files, self._chunks = root / "xorbs", root / "files", root / "chunks"
        self._names = root / "names"
        self.id = _identity(root / "id")

    async def receive_xorb(self, name: str, stream: AsyncIterable[bytes]) -> bool:
        """Keep an uploaded xorb and say whether it is new; raises a 400 or 413 WireError."""
        path = await self._incoming.write(stream, limit=MOST_XORB_BYTES)
        try:
            await to_thread.run_sync(list_chunks, path)
        except BaseException:
            path.unlink()
            raise
        final = _place(self._xorbs, name)
        new = not final.exists()
        # The later upload wins: one that was damaged on its way must not stay for ever.
        path.replace(final)
        return new

    async def receive_shard(self, stream: AsyncIterable[bytes]) -> Shard:
        """Read an uploaded shard; raises a 400 or 413 WireError."""
        path = await self._incoming.write(stream, limit=MOST_SHARD_BYTES)
        try:
            with path.open("rb") as file:
                return await to_thread.run_sync(read_shard, file)
        finally:
            path.unlink()

    def add_shard(self, shard: Shard, *, created: int) -> None:
        """Rebuild the files of a shard and note its chunks; raises a 400 WireError if one is not what it says."""
        for file in shard.files:
            self._add_file(file)
        # Clients ask for the first chunk of a file, and for one chunk in 1024 by its hash.
        firsts = {(file.terms[0].xorb, file.terms[0].first) for file in shard.files if file.terms}
        for xorb in shard.xorbs:
            name = hash_text(xorb.hash)
            if self._list_xorb(name, xorb, created):
                for number, chunk in enumerate(xorb.chunks):
                    if chunk.shared or (name, number) in firsts:
                        write_atomically(_place(self._chunks, hash_text(chunk.hash)), name)

    def hash_of(self, sha256: str) -> str:
        """Return the xet hash of an LFS object.

        One that was not uploaded over xet goes by its sha256: clients use the hash as a name only.
        """
        path = _find(self._names, sha256)
        return path.read_text() if path.exists() else sha256

    def find_file(self, name: str) -> Entry | None:
        """Return the LFS object that has a xet hash, else None."""
        path = _find(self._files, name)
        return self._blobs.find_large(path.read_text() if path.exists() else name)

    def find_chunk(self, name: str) -> bytes | None:
        """Return a shard that lists a xorb with this chunk, else None."""
        path = _find(self._chunks, name)
        if not path.exists():
            return None
        listing = _find(self._xorbs, path.read_text()).with_suffix(".shard")
        return listing.read_bytes() if listing.exists() else None

    def _add_file(self, file: ShardFile) -> None:
        entry = self._blobs.find_large(file.sha256)
        if entry is None or entry.size != file.size:
            entry = self._blobs.add_large(self._contents(file.terms))
        if (entry.sha256, entry.size) != (file.sha256, file.size):
            raise bad_request(f"The chunks of file {file.hash} do not add up to its sha256 and size")
        write_atomically(_place(self._files, file.hash), file.sha256)
        write_atomically(_place(self._names, file.sha256), file.hash)

    def _contents(self, terms: Iterable[Term]) -> Iterator[bytes]:
        # Terms that follow each other mostly lie in the same xorb.
        name, chunks = "", tuple[Chunk, ...]()
        for term in terms:
            path = _find(self._xorbs, term.xorb)
            if not path.exists():
                raise bad_request(f"Xorb {term.xorb} was not uploaded")
            if name != term.xorb:
                name, chunks = term.xorb, list_chunks(path)
            wanted = chunks[term.first : term.end]
            if len(wanted) != term.end - term.first or sum(chunk.length for chunk in wanted) != term.length:
                raise bad_request(f"Xorb {term.xorb} does not have the chunks of a term")
            with path.open("rb") as file:
                for chunk in wanted:
                    yield read_chunk(file, chunk)

    def _list_xorb(self, name: str, xorb: ListedXorb, created: int) -> bool:
        """Keep the list of a xorb's chunks for later uploads; False if the xorb is not here."""
        path = _find(self._xorbs, name)
        if not path.exists():
            return False
        if [chunk.length for chunk in xorb.chunks] != [chunk.length for chunk in list_chunks(path)]:
            raise bad_request(f"Xorb {name} does not have the chunks that the shard lists")
        aside = self._incoming.folder / f"{name}.shard"
        aside.write_bytes(write_xorb_shard(xorb, created=created))
        aside.replace(path.with_suffix(".shard"))
        return True


def _identity(file: Path) -> str:
    """Return what the storage's address ends in: clients remember by address what they have sent to it.

    Another Hub on the same port has another address, so that nobody thinks it has these xorbs.
    """
    if not file.exists():
        write_atomically(file, secrets.token_hex(8))
    return file.read_text()


def _find(folder: Path, name: str) -> Path:
    return folder / name[:2] / name


def _place(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
