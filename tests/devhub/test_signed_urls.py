from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from hubbot.devhub.signed_urls import Signer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _accepts(signer: Signer, path: str, query: str) -> bool:
    fields = parse_qs(query)
    return signer.accepts(path, expires=fields["expires"][0], signature=fields["signature"][0])


def test_an_address_is_good_for_its_path_for_a_day_and_after_a_restart(tmp_path: Path) -> None:
    query = Signer(tmp_path / "key", now=lambda: NOW).query("/lfs/a")
    again = Signer(tmp_path / "key", now=lambda: NOW + timedelta(hours=23))
    assert _accepts(again, "/lfs/a", query)
    assert not _accepts(again, "/lfs/b", query)
    late = Signer(tmp_path / "key", now=lambda: NOW + timedelta(hours=25))
    assert not _accepts(late, "/lfs/a", query)


def test_another_hubs_address_is_worth_nothing(tmp_path: Path) -> None:
    query = Signer(tmp_path / "one", now=lambda: NOW).query("/lfs/a")
    assert not _accepts(Signer(tmp_path / "two", now=lambda: NOW), "/lfs/a", query)
    assert not Signer(tmp_path / "two", now=lambda: NOW).accepts("/lfs/a", expires="x", signature="é")
