"""The footprint counts what a process holds, not what it has mapped."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubbot.jobs.process_memory import footprint

MIB = 2**20


def held() -> int:
    size = footprint(os.getpid())
    assert size is not None
    return size


def test_memory_that_was_written_is_held() -> None:
    before = held()
    # Pages of its own: the heap may have as much left over from what ran before.
    with mmap.mmap(-1, 64 * MIB) as block:
        assert held() - before < 16 * MIB
        block.write(b"x" * (64 * MIB))
        assert held() - before >= 60 * MIB


def test_a_mapped_file_of_a_disk_is_not(tmp_path: Path) -> None:
    if _lies_in_memory(tmp_path):
        pytest.skip("the temporary folder lies in memory, and so would the mapped file")
    path = tmp_path / "shard"
    path.write_bytes(b"x" * 64 * MIB)
    before = held()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] for at in range(0, len(mapped), 4096)) > 0
        assert held() - before < 16 * MIB


def _lies_in_memory(folder: Path) -> bool:
    if sys.platform == "darwin":
        return False
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() in {"tmpfs", "ramfs"}


def test_a_process_that_does_not_exist_holds_nothing_known() -> None:
    assert footprint(2**22 + 1) is None
