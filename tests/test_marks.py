import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.checkpoints import Repo
from hubbot.marks import parse_mark, read_mark, same_origin, source_of

REPO = Repo(id="org/model", revision="a" * 40)
MARK = {
    "made_by": "hubbot",
    "variant": "4bit",
    "source": {"repo": "org/model", "revision": "a" * 40},
    "versions": {"m": "1"},
}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"made_by": "me"}', b"[" * 100_000, b"\xff\xfe\xfa"]
)
def test_what_is_not_hubbots_is_no_mark(data: bytes, tmp_path: Path) -> None:
    assert parse_mark(data) is None
    (tmp_path / "hubbot.json").write_bytes(data)
    assert read_mark(tmp_path) is None


def test_a_folder_without_a_mark_has_none(tmp_path: Path) -> None:
    assert read_mark(tmp_path) is None
    assert read_mark(tmp_path / "nowhere") is None


def test_a_huge_mark_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "hubbot.json").open("wb") as file:
        file.truncate((256 << 20) + 1)
    assert read_mark(tmp_path) is None


def test_hubbots_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "hubbot.json").write_text(json.dumps(MARK))
    assert read_mark(tmp_path) == MARK


def test_a_mark_of_the_first_format_is_read_in_words() -> None:
    former = {**MARK, "format": 1, "layout": {"row": "E", "order": "concatenated"}}
    found = parse_mark(json.dumps(former).encode())
    assert found == {**MARK, "format": 2, "layout": {"row": "stacked_fused", "order": "concatenated"}}
    assert parse_mark(json.dumps(found).encode()) == found


@pytest.mark.parametrize("layout", [None, "E", ["E"], {"row": ["E"]}, {}])
def test_a_layout_that_nobody_wrote_is_no_hindrance(layout: Any) -> None:
    found = parse_mark(json.dumps({**MARK, "format": 1, "layout": layout}).encode())
    assert found is not None
    assert found["layout"] == layout


def test_the_same_origin_may_have_another_revision() -> None:
    newer = Repo(id="org/model", revision="b" * 40)
    assert same_origin(MARK, REPO, "4bit")
    assert same_origin(MARK, newer, "4bit")


@pytest.mark.parametrize(("repo", "variant"), [("org/other", "4bit"), ("org/model", "8bit")])
def test_another_repo_or_variant_is_another_origin(repo: str, variant: str) -> None:
    assert not same_origin(MARK, Repo(id=repo, revision="a" * 40), variant)


def test_a_local_source_is_named_without_its_path() -> None:
    local = Repo(id="/home/me/secret/model", revision="local-" + "0" * 40)
    assert source_of(local) == {"repo": "model", "revision": local.revision}


@pytest.mark.parametrize("source", ["me", None, [], 3])
def test_a_mark_with_an_odd_source_is_of_another_origin(source: Any) -> None:
    assert not same_origin({**MARK, "source": source}, REPO, "4bit")
