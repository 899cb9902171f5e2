"""Shards, a xet client's account of what it uploaded: files as ranges of chunks of xorbs, xorbs as chunks.

    a header; per file: a head, its terms, one proof per term, its sha256; per xorb: a head, its chunks.

All records are 48 bytes, a hash and 16 bytes more; a hash of ones ends each part. Counts are held against the
bytes that are there. The format is that of xet-core, xet_core_structures/src/metadata_shard.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from hubbot.devhub.wire_errors import bad_request
from hubbot.devhub.xet_xorbs import MOST_CHUNK_BYTES, MOST_CHUNKS, MOST_CONTENT_BYTES

MOST_SHARD_BYTES = 128 * 1024 * 1024

_MAGIC = (85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169)
_TAG = b"HFRepoMetaData\0" + bytes(_MAGIC)
_VERSION, _FOOTER_VERSION, _FOOTER_BYTES = 2, 1, 200
_RECORD = struct.Struct("<32s4I")
_HEADER = struct.Struct("<32s2Q")
_END = b"\xff" * 32
_WITH_PROOFS, _WITH_SHA256 = 1 << 31, 1 << 30
_SHARED_CHUNK = 1 << 31
_NEVER = (1 << 64) - 1


class Term(NamedTuple):
    """The chunks `first` to `end` (exclusive) of a xorb, `length` bytes together."""

    xorb: str
    length: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file by its xet hash and its sha256, and what it is made of."""

    hash: str
    sha256: str
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        """Return the file's size in bytes."""
        return sum(term.length for term in self.terms)


class ListedChunk(NamedTuple):
    """A chunk of a xorb: its hash, where its content starts in that of the xorb, its length, its flags."""

    hash: bytes
    start: int
    length: int
    flags: int

    @property
    def shared(self) -> bool:
        """Say whether clients ask for this chunk wherever it lies: one in 1024, by its hash."""
        return bool(self.flags & _SHARED_CHUNK) or int.from_bytes(self.hash[24:], "little") % 1024 == 0


@dataclass(frozen=True, slots=True)
class ListedXorb:
    """A xorb and its chunks, in order."""

    hash: bytes
    stored: int
    chunks: tuple[ListedChunk, ...]


@dataclass(frozen=True, slots=True)
class Shard:
    """What one upload says."""

    files: tuple[ShardFile, ...]
    xorbs: tuple[ListedXorb, ...]


def hash_text(raw: bytes) -> str:
    """Write 32 bytes as the wire does: four little-endian numbers of 64 bits in hex."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def read_shard(file: BinaryIO) -> Shard:
    """Read an uploaded shard; raises a 400 WireError if it is none, or is out of bounds."""
    header = file.read(_HEADER.size)
    if len(header) != _HEADER.size or _HEADER.unpack(header)[:2] != (_TAG, _VERSION):
        raise bad_request("The body is no xet shard of version 2")
    return Shard(tuple(_read_files(file)), tuple(_read_xorbs(file)))


def write_xorb_shard(xorb: ListedXorb, *, created: int) -> bytes:
    """Return a shard that lists one xorb, with which a client dedups; `created` is in seconds since 1970."""
    body = bytearray(_HEADER.pack(_TAG, _VERSION, _FOOTER_BYTES))
    files_at = len(body)
    body += _RECORD.pack(_END, 0, 0, 0, 0)
    xorbs_at = len(body)
    content = sum(chunk.length for chunk in xorb.chunks)
    body += _RECORD.pack(xorb.hash, 0, len(xorb.chunks), content, xorb.stored)
    for chunk in xorb.chunks:
        body += _RECORD.pack(chunk.hash, chunk.start, chunk.length, chunk.flags, 0)
    body += _RECORD.pack(_END, 0, 0, 0, 0)
    tables_at = len(body)
    # No lookup tables: three times a place and a count of nothing.
    tables = (tables_at, 0) * 3
    footer = struct.pack("<3Q6Q", _FOOTER_VERSION, files_at, xorbs_at, *tables)
    footer += struct.pack("<32s2Q6Q3QQ", bytes(32), created, _NEVER, *[0] * 6, xorb.stored, 0, content, tables_at)
    return bytes(body + footer)


def _read_files(file: BinaryIO) -> Iterator[ShardFile]:
    while (head := _read_record(file))[0] != _END:
        raw, flags, count, _, _ = head
        terms = tuple(_read_term(file) for _ in range(count))
        if flags & _WITH_PROOFS:
            for _ in range(count):
                _read_record(file)
        if not flags & _WITH_SHA256:
            raise bad_request("A file of the shard comes without its sha256")
        yield ShardFile(hash_text(raw), hash_text(_read_record(file)[0]), terms)


def _read_term(file: BinaryIO) -> Term:
    raw, _, length, first, end = _read_record(file)
    if not first < end <= MOST_CHUNKS or not 0 < length <= MOST_CONTENT_BYTES:
        raise bad_request("A term of the shard is out of bounds")
    return Term(hash_text(raw), length, first, end)


def _read_xorbs(file: BinaryIO) -> Iterator[ListedXorb]:
    while (head := _read_record(file))[0] != _END:
        raw, _, count, content, stored = head
        if not 0 < count <= MOST_CHUNKS or content > MOST_CONTENT_BYTES:
            raise bad_request("A xorb of the shard is out of bounds")
        yield ListedXorb(raw, stored, tuple(_read_listed(file) for _ in range(count)))


def _read_listed(file: BinaryIO) -> ListedChunk:
    raw, start, length, flags, _ = _read_record(file)
    if length > MOST_CHUNK_BYTES or start + length > MOST_CONTENT_BYTES:
        raise bad_request("A chunk of the shard is out of bounds")
    return ListedChunk(raw, start, length, flags)


def _read_record(file: BinaryIO) -> tuple[bytes, int, int, int, int]:
    record = file.read(_RECORD.size)
    if len(record) != _RECORD.size:
        raise bad_request("The shard ends too early")
    raw, first, second, third, fourth = _RECORD.unpack(record)
    return raw, first, second, third, fourth
