from __future__ import annotations

from pathlib import Path

import lz4.frame
import pytest

from hubbot.devhub.wire_errors import WireError
from hubbot.devhub.xet_xorbs import MOST_CHUNK_BYTES, list_chunks, plain_header, read_chunk

PLAIN, LZ4, GROUPED_LZ4 = 0, 1, 2


def packed(content: bytes, scheme: int, *, length: int | None = None) -> bytes:
    stored = content
    if scheme == GROUPED_LZ4:
        stored = b"".join(content[place::4] for place in range(4))
    if scheme != PLAIN:
        stored = lz4.frame.compress(stored)
    announced = len(content) if length is None else length
    return (
        bytes((0,))
        + len(stored).to_bytes(3, "little")
        + bytes((scheme,))
        + announced.to_bytes(3, "little")
        + stored
    )


def contents(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [read_chunk(file, chunk) for chunk in list_chunks(path)]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 1023, MOST_CHUNK_BYTES])
def test_chunks_of_every_scheme_come_back(tmp_path: Path, length: int) -> None:
    content = bytes(number * 7 % 251 for number in range(length))
    xorb = tmp_path / "xorb"
    xorb.write_bytes(b"".join(packed(content, scheme) for scheme in (PLAIN, LZ4, GROUPED_LZ4)))
    assert contents(xorb) == [content] * 3


def test_a_footer_ends_the_chunks(tmp_path: Path) -> None:
    xorb = tmp_path / "xorb"
    xorb.write_bytes(packed(b"abc", PLAIN) + b"XETBLOB\1" + bytes(100))
    assert contents(xorb) == [b"abc"]


def test_a_plain_header_is_that_of_a_stored_chunk() -> None:
    assert plain_header(3) + b"abc" == packed(b"abc", PLAIN)


@pytest.mark.parametrize(
    "xorb",
    [
        b"",
        b"\0\0\0",
        packed(b"abc", PLAIN)[:-1],
        packed(b"abc", 3),
        b"\1" + packed(b"abc", PLAIN)[1:],
        packed(b"", PLAIN),
        packed(bytes(MOST_CHUNK_BYTES + 1), PLAIN),
        packed(b"abc", PLAIN) * (8 * 1024 + 1),
        packed(bytes(MOST_CHUNK_BYTES), LZ4) * 513,
    ],
    ids=["empty", "half a header", "cut", "scheme", "version", "no content", "long chunk", "many", "much content"],
)
def test_what_is_out_of_bounds_is_refused(tmp_path: Path, xorb: bytes) -> None:
    path = tmp_path / "xorb"
    path.write_bytes(xorb)
    with pytest.raises(WireError, match=r"xorb|chunk"):
        list_chunks(path)


@pytest.mark.parametrize(
    "chunk",
    [packed(bytes(10**5), LZ4, length=10), packed(b"abc", LZ4, length=4), packed(b"abc", PLAIN, length=4)],
    ids=["a bomb", "too short", "another length"],
)
def test_a_chunk_of_another_length_than_announced_is_refused(tmp_path: Path, chunk: bytes) -> None:
    path = tmp_path / "xorb"
    path.write_bytes(chunk)
    with pytest.raises(WireError, match="announced length"):
        contents(path)


def test_a_chunk_that_is_no_frame_is_refused(tmp_path: Path) -> None:
    chunk = packed(b"abc" * 100, LZ4)
    path = tmp_path / "xorb"
    path.write_bytes(chunk[:8] + bytes(len(chunk) - 8))
    with pytest.raises(WireError, match="no LZ4 frame"):
        contents(path)
