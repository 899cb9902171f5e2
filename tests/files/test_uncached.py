"""What is read and written past the file cache is what ordinary reads and writes give, at any offset and size."""

import errno
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hubbot.files import uncached
from hubbot.files.uncached import BLOCK, PIECE, SMALLEST, UncachedReader, UncachedWriter

SIZE = 3 * PIECE + 777
SPANS = [(0, SIZE), (1, SIZE - 1), (BLOCK, PIECE), (BLOCK - 1, PIECE + 2), (777, SMALLEST), (5, 9), (SIZE - 3, 3)]


@pytest.fixture(params=["direct", "refused", "absent"])
def offered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the file system offers: O_DIRECT, its flag but no such read or write, or not even the flag."""
    if request.param == "absent":
        monkeypatch.setattr(uncached, "_open_direct", lambda *_: None)
    if request.param == "refused":
        if not hasattr(os, "O_DIRECT"):
            pytest.skip("nothing to refuse here")
        monkeypatch.setattr(os, "preadv", _refusing(os.preadv))
        monkeypatch.setattr(os, "pwrite", _refusing(os.pwrite))
    return str(request.param)


def _refusing(real: Any) -> Any:
    def call(descriptor: int, data: Any, offset: int, *flags: int) -> Any:
        if _is_direct(descriptor):
            raise OSError(errno.EINVAL, "no such access")
        return real(descriptor, data, offset, *flags)

    return call


def _is_direct(descriptor: int) -> bool:
    told = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii")
    flags = next(line.split()[1] for line in told.splitlines() if line.startswith("flags:"))
    return bool(int(flags, 8) & os.O_DIRECT)


@pytest.mark.parametrize("is_cached", [True, False])
def test_every_span_is_read_as_it_is(
    is_cached: bool, offered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(0).randbytes(SIZE)
    (tmp_path / "x").write_bytes(content)
    monkeypatch.setattr(UncachedReader, "_is_cached", lambda *_: is_cached)
    file = UncachedReader(tmp_path / "x")
    for start, size in SPANS:
        found = bytearray(size)
        assert file.fill(memoryview(found), start) == size, offered
        assert found == content[start : start + size]
    assert file.fill(memoryview(bytearray(PIECE)), SIZE - 5) == 5
    assert file.fill(memoryview(bytearray(PIECE)), SIZE + BLOCK) == 0
    file.close()


def test_what_was_just_written_is_found_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(SIZE))
    if not _tells_of_its_cache(tmp_path / "x"):
        pytest.skip("this file system does not tell what lies in its cache (tmpfs and overlayfs do not)")
    with UncachedReader(tmp_path / "x") as file:
        assert file._is_cached(SIZE, 0)


def test_where_the_file_system_does_not_tell_of_its_cache_nothing_is_taken_for_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(3).randbytes(SIZE)
    (tmp_path / "x").write_bytes(content)
    real = os.preadv

    def untold(descriptor: int, views: Any, offset: int, *flags: int) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, "no such flag")
        return real(descriptor, views, offset)

    monkeypatch.setattr(os, "preadv", untold)
    found = bytearray(SIZE)
    with UncachedReader(tmp_path / "x") as file:
        assert not file._is_cached(SIZE, 0)
        assert file.fill(memoryview(found), 0) == SIZE
    assert found == content


def _tells_of_its_cache(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return False
    return True


def test_pieces_written_at_any_offset_make_the_file(offered: str, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(SIZE)
    cuts = [0, 3, BLOCK + 1, BLOCK + 2 + SMALLEST, PIECE, 2 * PIECE + 5, SIZE]
    pieces = list(pairwise(cuts))
    random.Random(2).shuffle(pieces)
    file = UncachedWriter(tmp_path / "x")
    file.truncate(SIZE)
    for start, stop in pieces:
        file.write(memoryview(content)[start:stop], start)
        assert file.read(stop - start, start) == content[start:stop], offered
    file.sync()
    file.close()
    assert (tmp_path / "x").read_bytes() == content


def test_a_full_disk_is_told_and_not_taken_for_a_file_system_without_direct_access(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = UncachedWriter(tmp_path / "x")

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no room"):
        file.write(memoryview(bytes(PIECE)), 0)
    file.close()


FORKED = """
import os, sys
from pathlib import Path
from hubbot.files.uncached import PIECE, UncachedReader
UncachedReader._is_cached = lambda *_: False
folder, parent = Path(sys.argv[1]), os.getpid()
child = os.fork()
mine = "0" if child else "1"
for _ in range(50):
    found = bytearray(PIECE)
    with UncachedReader(folder / mine) as file:
        file.fill(memoryview(found), 0)
    if set(found) != {int(mine)}:
        os._exit(1) if not child else sys.exit("the parent read what the child reads")
os._exit(0) if not child else sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_forks_of_one_process_do_not_read_into_each_others_memory(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / str(number)).write_bytes(bytes([number]) * PIECE)
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], check=True)
