from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hubbot.devhub.signed_urls import Signer
from hubbot.devhub.stored_objects import Address
from hubbot.devhub.xet_tokens import XetRight, make_token, read_token

NOW = datetime(2026, 11, 27, tzinfo=UTC)
RIGHT = XetRight("read", Address("models", "hubbot", "a"), "0" * 40)


def test_a_token_says_what_it_allows_until_it_expires(tmp_path: Path) -> None:
    token, expires = make_token(Signer(tmp_path / "key", now=lambda: NOW), RIGHT)
    assert expires > NOW.timestamp()
    assert read_token(Signer(tmp_path / "key", now=lambda: NOW), token) == RIGHT
    late = Signer(tmp_path / "key", now=lambda: NOW + timedelta(days=2))
    assert read_token(late, token) is None


def test_a_token_that_was_changed_allows_nothing(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "key", now=lambda: NOW)
    token, _ = make_token(signer, RIGHT)
    for wrong in ("", "hf_owner", token.replace("read", "write"), token[:-1], token.partition("?")[0]):
        assert read_token(signer, wrong) is None
