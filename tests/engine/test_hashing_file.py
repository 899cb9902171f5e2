"""A weight file hashed as it grows has the sha256 of its bytes, in whatever order they were written."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from hubbot.engine import hashing_file
from hubbot.engine.hashing_file import HashingFile

HEADER = b"header--"


def spans(sizes: list[int]) -> list[tuple[int, int]]:
    found, position = [], len(HEADER)
    for size in sizes:
        found.append((position, size))
        position += size
    return found


@pytest.mark.parametrize("held", [0, 120, 1 << 20])
@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_give_the_sha256_of_the_file(
    seed: int, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing_file, "HELD_BYTES", held)
    chance = random.Random(seed)
    content = {start: chance.randbytes(size) for start, size in spans([300, 7, 0, 512, 64])}
    file = HashingFile(tmp_path / "x", HEADER, spans([300, 7, 0, 512, 64]))
    pieces = [
        (start + at, start, data[at : at + 50])
        for start, data in content.items()
        for at in range(0, len(data), 50)
    ]
    chance.shuffle(pieces)
    sha256 = None
    for offset, span, data in pieces:
        assert sha256 is None
        file.write(offset, span, memoryview(data))
        sha256 = file.digest()
    assert file.is_complete
    file.close()
    written = (tmp_path / "x").read_bytes()
    assert written == HEADER + b"".join(content[start] for start in sorted(content))
    assert sha256 == hashlib.sha256(written).hexdigest()


def test_a_file_with_a_hole_is_not_complete_and_has_no_sha256(tmp_path: Path) -> None:
    file = HashingFile(tmp_path / "x", HEADER, spans([10, 10]))
    file.write(len(HEADER) + 10, len(HEADER) + 10, memoryview(bytes(10)))
    assert not file.is_complete
    assert file.digest() is None
    file.close()


def test_the_file_has_its_whole_size_from_the_beginning(tmp_path: Path) -> None:
    file = HashingFile(tmp_path / "x", HEADER, spans([1000]))
    file.close()
    assert (tmp_path / "x").stat().st_size == file.size == len(HEADER) + 1000


def test_pieces_in_order_are_hashed_without_being_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> bytes:
        raise AssertionError("read again")

    monkeypatch.setattr(os, "pread", unreadable)
    file = HashingFile(tmp_path / "x", HEADER, spans([100, 20]))
    first, second = (start for start, _ in spans([100, 20]))
    # As a quantized tensor comes: codes, scales, codes, scales.
    for offset, span, size in [
        (first, first, 50),
        (second, second, 10),
        (first + 50, first, 50),
        (second + 10, second, 10),
    ]:
        file.write(offset, span, memoryview(bytes(size)))
        sha256 = file.digest()
    assert sha256 == hashlib.sha256(HEADER + bytes(120)).hexdigest()
    file.close()


@pytest.mark.parametrize(("together", "again"), [(1, 0), (2, 1)])
def test_files_that_grow_together_share_what_may_wait_in_memory(
    together: int, again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing_file, "HELD_BYTES", 20)
    reads: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *given: (reads.append(1), pread(*given))[1])
    file = HashingFile(tmp_path / "x", HEADER, spans([100, 20]), together=together)
    first, second = (start for start, _ in spans([100, 20]))
    file.write(second, second, memoryview(bytes(20)))
    assert file.digest() is None
    file.write(first, first, memoryview(bytes(100)))
    assert file.digest() == hashlib.sha256(HEADER + bytes(120)).hexdigest()
    file.close()
    assert len(reads) == again
