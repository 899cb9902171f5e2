"""The token: a file of this user alone; sessions end and cannot be forged."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hubbot.errors import WrongUsage
from hubbot.web.token_file import (
    FILE_NAME,
    SESSION,
    form_token,
    is_session,
    is_visitor,
    new_visitor,
    read_or_make,
    sign_session,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_token_is_made_once_in_a_file_of_mode_600(tmp_path: Path) -> None:
    first = read_or_make(tmp_path / "data")
    path = tmp_path / "data" / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first) >= 43
    assert read_or_make(tmp_path / "data") == first
    assert read_or_make(tmp_path / "other") != first


def test_a_token_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("t" * 43)
    path.chmod(0o640)
    with pytest.raises(WrongUsage, match="others may read"):
        read_or_make(tmp_path)
    path.chmod(0o600)
    assert read_or_make(tmp_path) == "t" * 43
    path.write_text("short")
    with pytest.raises(WrongUsage, match="cannot be read"):
        read_or_make(tmp_path)


def test_a_session_holds_for_its_time_and_for_its_token(tmp_path: Path) -> None:
    cookie = sign_session("a", NOW)
    assert is_session("a", cookie, NOW + SESSION - timedelta(seconds=1))
    assert not is_session("a", cookie, NOW + SESSION + timedelta(seconds=1))
    assert not is_session("b", cookie, NOW)
    ends, _, digest = cookie.partition(".")
    for forged in ("", ".", f"{int(ends) + 1}.{digest}", f"{ends}.", f"{ends}.{'0' * 64}", f"x.{digest}", "é.é"):
        assert not is_session("a", forged, NOW)


def test_the_token_of_a_form_belongs_to_one_visitor() -> None:
    visitor, other = new_visitor(), new_visitor()
    assert is_visitor(visitor)
    assert not is_visitor("short")
    assert not is_visitor("<" * 20)
    assert form_token("a", visitor) == form_token("a", visitor)
    assert len({form_token("a", visitor), form_token("a", other), form_token("b", visitor)}) == 3
