from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hubbot.devhub.stored_objects import Address, Commit, Entry, Repo, git_oid, new_commit, short_id, wire_time

ENTRY = Entry(size=5, oid="a" * 40, sha256="b" * 64)


def _commit(title: str, parent: str | None = None) -> Commit:
    return new_commit(
        parent=parent, author="a", title=title, message="m", date="2026-01-01T00:00:00.000Z", tree={"x": ENTRY}
    )


def test_a_commits_sha_is_a_function_of_what_is_in_it() -> None:
    assert _commit("one") == _commit("one")
    shas = {_commit("one").sha, _commit("two").sha, _commit("one", "c" * 40).sha}
    assert len(shas) == 3
    assert all(len(sha) == 40 for sha in shas)


def test_records_come_back_from_json_as_they_were() -> None:
    commit = _commit("one")
    assert Commit.from_json(json.loads(json.dumps(commit.to_json()))) == commit
    repo = Repo(
        address=Address("models", "a", "b"), oid="1", created_at="t", likers=("x",), branches={"main": "s"}
    )
    assert Repo.from_json(json.loads(json.dumps(repo.to_json()))) == repo


def test_the_etag_of_a_large_file_is_its_sha256() -> None:
    assert ENTRY.etag == "b" * 64
    assert Entry(size=5, oid="a" * 40).etag == "a" * 40
    assert ENTRY.pointer_size == 126 + len("5") - 1


def test_git_names_the_empty_blob_like_this() -> None:
    assert git_oid(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 20, 20, 13, 5, 1999, tzinfo=timezone(timedelta(hours=2)))
    assert wire_time(moment) == "2026-11-20T18:13:05.001Z"
    assert wire_time(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"


def test_only_models_have_no_prefix_in_their_address() -> None:
    assert Address("models", "a", "b").url_path == "a/b"
    assert Address("spaces", "a", "b").url_path == "spaces/a/b"
    assert Address("datasets", "a", "b").type == "dataset"


def test_short_ids_look_like_the_hubs() -> None:
    assert len(short_id("a", "b")) == 24
    assert short_id("a", "b") != short_id("b", "a")
