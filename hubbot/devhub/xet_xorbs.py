"""Xorbs, the containers that a xet client uploads: chunk after chunk, each behind a header of 8 bytes.

    version 0 (1 byte), stored length (3), scheme (1), length (3); then the stored bytes. Little-endian.

Every number is held against its bound before it is believed. Never computes a chunk's hash: the sha256 of the
file that is made from the chunks decides. The format is that of xet-core, xet_core_structures/src/xorb_object.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import lz4.frame
import numpy as np

from hubbot.devhub.wire_errors import WireError, bad_request

MOST_CHUNK_BYTES = 128 * 1024
MOST_CHUNKS = 8 * 1024
MOST_CONTENT_BYTES = 64 * 1024 * 1024
HEADER_BYTES = 8
# Incompressible chunks are stored as they are, each with its header; a footer may follow.
MOST_XORB_BYTES = MOST_CONTENT_BYTES + MOST_CHUNKS * (HEADER_BYTES + 128)

_FOOTER = b"XETBLOB"
_PLAIN, _LZ4, _GROUPED_LZ4 = 0, 1, 2


class Chunk(NamedTuple):
    """Where a chunk's stored bytes lie in its xorb, how they are packed, and how long the chunk is."""

    start: int
    stored: int
    scheme: int
    length: int


def list_chunks(path: Path) -> tuple[Chunk, ...]:
    """Walk the headers of a xorb; raises a 400 WireError if a header, or the whole, is out of bounds."""
    size, at, content = path.stat().st_size, 0, 0
    chunks: list[Chunk] = []
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            header = file.read(HEADER_BYTES)
            if header.startswith(_FOOTER):
                break
            chunk = _parse_header(header, at + HEADER_BYTES)
            chunks.append(chunk)
            at, content = chunk.start + chunk.stored, content + chunk.length
            if at > size or content > MOST_CONTENT_BYTES or len(chunks) > MOST_CHUNKS:
                raise bad_request("The xorb ends inside a chunk, or holds more than a xorb may")
    if not chunks:
        raise bad_request("The xorb holds no chunk")
    return tuple(chunks)


def read_chunk(file: BinaryIO, chunk: Chunk) -> bytes:
    """Return a chunk's content; raises a 400 WireError if it does not unpack to the length in its header."""
    file.seek(chunk.start)
    stored = file.read(chunk.stored)
    content = stored if chunk.scheme == _PLAIN else _unpack(stored, chunk.length)
    if len(content) != chunk.length:
        raise bad_request("A chunk of the xorb does not have the announced length")
    return _ungroup(content) if chunk.scheme == _GROUPED_LZ4 else content


def plain_header(length: int) -> bytes:
    """Return the header of a chunk of `length` bytes that is stored as it is."""
    number = length.to_bytes(3, "little")
    return struct.pack("<B3sB3s", 0, number, _PLAIN, number)


def _parse_header(header: bytes, start: int) -> Chunk:
    if len(header) != HEADER_BYTES:
        raise bad_request("The xorb ends inside a header")
    version, stored, scheme, length = struct.unpack("<B3sB3s", header)
    chunk = Chunk(start, int.from_bytes(stored, "little"), scheme, int.from_bytes(length, "little"))
    if version != 0 or scheme not in {_PLAIN, _LZ4, _GROUPED_LZ4}:
        raise bad_request(f"Unknown chunk version {version} or compression scheme {scheme}")
    if not 0 < chunk.length <= MOST_CHUNK_BYTES or not 0 < chunk.stored <= 2 * MOST_CHUNK_BYTES:
        raise bad_request("A chunk of the xorb is longer than a chunk may be, or empty")
    return chunk


def _unpack(stored: bytes, length: int) -> bytes:
    try:
        # One byte more than promised is enough to know that the promise was wrong.
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(stored, max_length=length + 1))
    except (RuntimeError, EOFError, ValueError) as error:
        raise WireError(400, "A chunk of the xorb is no LZ4 frame") from error


def _ungroup(grouped: bytes) -> bytes:
    """Put bytes that were grouped by their place in words of four back in their order."""
    source = np.frombuffer(grouped, np.uint8)
    content = np.empty_like(source)
    at = 0
    for place in range(4):
        lane = content[place::4]
        lane[:] = source[at : at + lane.size]
        at += lane.size
    return content.tobytes()
