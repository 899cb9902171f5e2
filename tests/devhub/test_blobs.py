from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from hubbot.devhub.blobs import Blobs
from hubbot.devhub.wire_errors import WireError


async def _stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _receive(blobs: Blobs, *chunks: bytes, sha256: str, size: int) -> None:
    async def go() -> None:
        await blobs.receive(_stream(*chunks), sha256=sha256, size=size)

    anyio.run(go)


def test_a_regular_file_is_named_as_git_names_it(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    entry = blobs.add_regular(b"hello\n")
    assert entry.oid == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert blobs.path_of(entry).read_bytes() == b"hello\n"


def test_a_large_file_is_named_by_its_sha256(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    entry = blobs.add_large([b"he", b"llo"])
    assert entry.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert blobs.find_large(entry.sha256) == entry
    assert blobs.find_large("0" * 64) is None


def test_an_upload_that_is_what_it_promised_is_kept(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    sha256 = hashlib.sha256(b"hello").hexdigest()
    _receive(blobs, b"he", b"llo", sha256=sha256, size=5)
    assert blobs.find_large(sha256) is not None


@pytest.mark.parametrize("chunks", [(b"jello",), (b"hell",), (b"hello", b"!")])
def test_an_upload_that_is_something_else_leaves_nothing(tmp_path: Path, chunks: tuple[bytes, ...]) -> None:
    blobs = Blobs(tmp_path)
    sha256 = hashlib.sha256(b"hello").hexdigest()
    with pytest.raises(WireError):
        _receive(blobs, *chunks, sha256=sha256, size=5)
    assert blobs.find_large(sha256) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_killed_process_was_receiving_is_swept_up(tmp_path: Path) -> None:
    Blobs(tmp_path)
    (tmp_path / "incoming" / "half").write_bytes(b"x")
    Blobs(tmp_path)
    assert not (tmp_path / "incoming" / "half").exists()


def test_parts_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    sha256 = hashlib.sha256(b"hello").hexdigest()

    async def send(part: int, chunk: bytes) -> None:
        await blobs.receive_part(_stream(chunk), sha256=sha256, part=part, limit=4)

    anyio.run(send, 1, b"hell")
    with pytest.raises(WireError, match="missing"):
        blobs.join_parts(sha256, 5, 2)
    anyio.run(send, 2, b"!")
    with pytest.raises(WireError, match="add up"):
        blobs.join_parts(sha256, 5, 2)
    assert blobs.find_large(sha256) is None
