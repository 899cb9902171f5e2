from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pytest

from hubbot.devhub.xet_blocks import (
    block_hash,
    describe_part,
    offset_into_first,
    parts_of,
    read_sent,
    sent_size,
)
from hubbot.devhub.xet_xorbs import list_chunks, read_chunk

BLOCK = 16 * 1024 * 1024
CHUNK = 64 * 1024
SIZE = BLOCK + 3 * CHUNK + 5


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "stored"
    path.write_bytes(b"".join(number.to_bytes(4, "little") for number in range(SIZE // 4 + 1))[:SIZE])
    return path


def _unpacked(folder: Path, sent: bytes) -> bytes:
    xorb = folder / "xorb"
    xorb.write_bytes(sent)
    return b"".join(read_chunk(io.BytesIO(sent), chunk) for chunk in list_chunks(xorb))


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, SIZE), (0, 1), (CHUNK, CHUNK + 1), (CHUNK - 1, CHUNK + 1), (BLOCK - 1, BLOCK + 1), (SIZE - 1, SIZE)],
)
def test_the_parts_of_a_range_unpack_to_the_bytes_asked_for(
    stored: Path, tmp_path: Path, start: int, end: int
) -> None:
    content = b""
    for part in parts_of(SIZE, start, end):
        span = describe_part(part)["bytes"]
        sent = b"".join(read_sent(stored, part.block, span["start"], span["end"] + 1))
        assert len(sent) == span["end"] + 1 - span["start"]
        unpacked = _unpacked(tmp_path, sent)
        assert len(unpacked) == part.length
        content += unpacked
    skipped = offset_into_first(start)
    assert content[skipped : skipped + end - start] == stored.read_bytes()[start:end]


def test_a_block_can_be_read_from_any_byte(stored: Path) -> None:
    whole = b"".join(read_sent(stored, 1, 0, sent_size(SIZE, 1)))
    assert len(whole) == sent_size(SIZE, 1) == 3 * CHUNK + 5 + 4 * 8
    for start, end in pairwise((0, 1, 7, CHUNK + 8, CHUNK + 9, len(whole) - 1, len(whole))):
        assert b"".join(read_sent(stored, 1, start, end)) == whole[start:end]
    assert sent_size(SIZE, 2) == 0


def test_every_block_of_every_file_has_a_name_of_its_own() -> None:
    assert len({block_hash(sha256 * 64, block) for sha256 in "ab" for block in range(3)}) == 6
