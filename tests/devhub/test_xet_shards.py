from __future__ import annotations

import io
import struct

import pytest

from hubbot.devhub.wire_errors import WireError
from hubbot.devhub.xet_shards import ListedChunk, ListedXorb, Term, hash_text, read_shard, write_xorb_shard

XORB = ListedXorb(b"x" * 32, 70, (ListedChunk(b"a" * 32, 0, 50, 0), ListedChunk(bytes(32), 50, 12, 1 << 31)))
END = b"\xff" * 32 + bytes(16)


def record(raw: bytes, *numbers: int) -> bytes:
    return struct.pack("<32s4I", raw, *numbers, *[0] * (4 - len(numbers)))


def shard(files: bytes = b"", xorbs: bytes = b"") -> io.BytesIO:
    header = write_xorb_shard(XORB, created=0)[:48]
    return io.BytesIO(header + files + END + xorbs + END)


def test_files_and_xorbs_are_read() -> None:
    term = record(b"x" * 32, 0, 62, 0, 2)
    proof, sha256 = record(b"p" * 32), record(b"s" * 32)
    found = read_shard(shard(record(b"f" * 32, 3 << 30, 1) + term + proof + sha256))
    (file,) = found.files
    assert (file.hash, file.sha256, file.size) == ("66" * 32, "73" * 32, 62)
    assert file.terms == (Term("78" * 32, 62, 0, 2),)


def test_a_hash_is_written_as_four_little_endian_numbers() -> None:
    assert hash_text(bytes(range(32)))[:32] == "0706050403020100" + "0f0e0d0c0b0a0908"


def test_the_shard_of_one_xorb_reads_back() -> None:
    written = write_xorb_shard(XORB, created=1_700_000_000)
    assert read_shard(io.BytesIO(written)).xorbs == (XORB,)
    assert struct.unpack("<Q", written[-8:])[0] == len(written) - 200
    assert [chunk.shared for chunk in XORB.chunks] == [False, True]


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(b""),
        io.BytesIO(b"x" * 48),
        io.BytesIO(shard().getvalue()[:-1]),
        shard(record(b"f" * 32, 0, 1) + record(b"x" * 32, 0, 62, 0, 2)),
        shard(record(b"f" * 32, 1 << 30, 0xFFFFFFFF)),
        shard(record(b"f" * 32, 1 << 30, 1) + record(b"x" * 32, 0, 62, 2, 2) + record(b"s" * 32)),
        shard(record(b"f" * 32, 1 << 30, 1) + record(b"x" * 32, 0, 1 << 31, 0, 2) + record(b"s" * 32)),
        shard(xorbs=record(b"x" * 32, 0, 0)),
        shard(xorbs=record(b"x" * 32, 0, 1 << 20, 10)),
        shard(xorbs=record(b"x" * 32, 0, 1, 10) + record(b"c" * 32, 0, 1 << 20)),
    ],
    ids=["empty", "tag", "cut", "no sha256", "count", "no chunks", "term", "empty xorb", "chunks", "long chunk"],
)
def test_what_is_no_shard_is_refused(file: io.BytesIO) -> None:
    with pytest.raises(WireError) as refused:
        read_shard(file)
    assert refused.value.status == 400
