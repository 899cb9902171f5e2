"""A weight file hashed as it grows has the sha256 of its bytes, in whatever order they were written."""

import hashlib
import random
from pathlib import Path

import pytest

from hubbot.device import growing
from hubbot.device.growing import GrowingFile

HEADER = b"header--"


def spans(sizes: list[int]) -> list[tuple[int, int]]:
    found, position = [], len(HEADER)
    for size in sizes:
        found.append((position, size))
        position += size
    return found


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_give_the_sha256_of_the_file(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "TURN_BYTES", 100)
    chance = random.Random(seed)
    content = {start: chance.randbytes(size) for start, size in spans([300, 7, 0, 512, 64])}
    file = GrowingFile(tmp_path / "x", HEADER, spans([300, 7, 0, 512, 64]))
    pieces = [
        (start + at, start, data[at : at + 50])
        for start, data in content.items()
        for at in range(0, len(data), 50)
    ]
    chance.shuffle(pieces)
    sha256 = None
    for offset, span, data in pieces:
        assert sha256 is None
        if file.write(offset, span, memoryview(data)):
            sha256 = file.digest()
    assert file.is_complete
    file.close()
    written = (tmp_path / "x").read_bytes()
    assert written == HEADER + b"".join(content[start] for start in sorted(content))
    assert sha256 == hashlib.sha256(written).hexdigest()


def test_a_file_with_a_hole_is_not_complete_and_has_no_sha256(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "x", HEADER, spans([10, 10]))
    file.write(len(HEADER) + 10, len(HEADER) + 10, memoryview(bytes(10)))
    assert not file.is_complete
    assert file.digest() is None
    file.close()


def test_the_file_has_its_whole_size_from_the_beginning(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "x", HEADER, spans([1000]))
    file.close()
    assert (tmp_path / "x").stat().st_size == file.size == len(HEADER) + 1000
