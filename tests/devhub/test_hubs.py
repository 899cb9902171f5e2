from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hubbot.devhub.commits import DeleteFile
from hubbot.devhub.hubs import Hub
from hubbot.devhub.stored_objects import MAIN, Address
from hubbot.devhub.wire_errors import WireError

ADDRESS = Address("models", "ns", "x")


@pytest.fixture
def quiet(tmp_path: Path) -> Hub:
    return Hub(tmp_path, base_url="http://h/", accounts={}, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_a_new_repo_has_a_first_commit_and_exists_only_once(quiet: Hub) -> None:
    repo = quiet.create_repo(ADDRESS, author="ns", private=True)
    assert list(quiet.head(repo).tree) == [".gitattributes"]
    with pytest.raises(WireError) as refused:
        quiet.create_repo(ADDRESS, author="ns", private=False)
    assert refused.value.body == {"url": "http://h/ns/x"}


def test_a_commit_on_top_of_an_old_head_is_refused(quiet: Hub) -> None:
    repo = quiet.create_repo(ADDRESS, author="ns", private=False)
    with pytest.raises(WireError) as refused:
        quiet.commit(
            repo,
            MAIN,
            [DeleteFile(".gitattributes")],
            expected="0" * 40,
            author="ns",
            title="t",
            message="",
        )
    assert refused.value.status == 412
    made = quiet.commit(
        repo,
        MAIN,
        [DeleteFile(".gitattributes")],
        expected=repo.branches[MAIN],
        author="ns",
        title="t",
        message="",
    )
    assert (made.parent, made.tree) == (repo.branches[MAIN], {})
