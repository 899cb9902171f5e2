"""How a stored file looks to a xet client: blocks of 256 chunks of 64 kB, each a xorb made while it is sent.

So every large file can be downloaded over xet, however it came here, and no xorb is read again.
Never writes a byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hubbot.devhub.xet_xorbs import HEADER_BYTES, plain_header

_CHUNK = 64 * 1024
_CHUNKS = 256
_BLOCK = _CHUNK * _CHUNKS
_SENT = _CHUNK + HEADER_BYTES


class BlockPart(NamedTuple):
    """The chunks `first` to `end` (exclusive) of one block of a file, `length` bytes together."""

    block: int
    first: int
    end: int
    length: int


def parts_of(size: int, start: int, end: int) -> list[BlockPart]:
    """Return the parts of a file of `size` bytes that hold its bytes from `start` to `end` (exclusive)."""
    parts: list[BlockPart] = []
    for block in range(start // _BLOCK, -(-end // _BLOCK)):
        base = block * _BLOCK
        first = max(0, start - base) // _CHUNK
        last = -(-(min(end - base, _BLOCK)) // _CHUNK)
        length = min(base + last * _CHUNK, size) - (base + first * _CHUNK)
        parts.append(BlockPart(block, first, last, length))
    return parts


def offset_into_first(start: int) -> int:
    """Return how far a byte of the file lies inside its chunk."""
    return start % _CHUNK


def block_hash(sha256: str, block: int) -> str:
    """Return the name by which a client knows a block: unique, as it caches by it."""
    return hashlib.sha256(f"{sha256} {block}".encode()).hexdigest()


def describe_part(part: BlockPart) -> dict[str, Any]:
    """Return a part as the wire writes it: its chunks, and the bytes of the block that hold them."""
    start = part.first * _SENT
    last = start + part.length + HEADER_BYTES * (part.end - part.first) - 1
    return {"chunks": {"start": part.first, "end": part.end}, "bytes": {"start": start, "end": last}}


def sent_size(size: int, block: int) -> int:
    """Return how many bytes a block of a file of `size` bytes has on the wire; 0 past its end."""
    content = max(0, min(size - block * _BLOCK, _BLOCK))
    return content + HEADER_BYTES * -(-content // _CHUNK)


def read_sent(path: Path, block: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `end` (exclusive) of a block as it is sent, a chunk at a time."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for number in range(start // _SENT, -(-end // _SENT)):
            at = block * _BLOCK + number * _CHUNK
            file.seek(at)
            content = file.read(min(_CHUNK, size - at))
            sent = plain_header(len(content)) + content
            base = number * _SENT
            yield sent[max(0, start - base) : end - base]
