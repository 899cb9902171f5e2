from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hubbot.devhub.incoming import Incoming
from hubbot.devhub.wire_errors import WireError


async def _two() -> AsyncIterator[bytes]:
    yield b"abc"
    yield b"de"


def test_a_body_within_its_limit_is_written(tmp_path: Path) -> None:
    path = asyncio.run(Incoming(tmp_path / "in").write(_two(), limit=5))
    assert path.read_bytes() == b"abcde"


def test_a_body_beyond_its_limit_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WireError) as refused:
        asyncio.run(Incoming(tmp_path / "in").write(_two(), limit=4))
    assert refused.value.status == 413
    assert list((tmp_path / "in").iterdir()) == []


def test_what_was_arriving_is_gone_after_a_restart(tmp_path: Path) -> None:
    asyncio.run(Incoming(tmp_path / "in").write(_two(), limit=5))
    assert list(Incoming(tmp_path / "in").folder.iterdir()) == []
