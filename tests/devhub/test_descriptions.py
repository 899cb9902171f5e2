from __future__ import annotations

from hubbot.devhub.descriptions import describe, select_info, select_listed, unknown_expansions
from hubbot.devhub.metadata import Metadata
from hubbot.devhub.stored_objects import Address, Entry, Repo, new_commit

HEAD = new_commit(
    parent=None, author="a", title="t", message="", date="d", tree={"x": Entry(size=3, oid="o", sha256="s")}
)
REPO = Repo(address=Address("models", "ns", "x"), oid="1", created_at="c")
ABOUT = describe(REPO, HEAD, Metadata(parameters={"BF16": 3, "U32": 4}), blobs=True)


def test_expand_returns_the_id_and_what_was_asked_for_only() -> None:
    assert select_info(ABOUT, ["sha"]) == {"_id": "1", "id": "ns/x", "sha": HEAD.sha}
    listed = select_listed(ABOUT, ["usedStorage"], full=False, config=False, card=False)
    assert listed == {"_id": "1", "id": "ns/x", "usedStorage": 3}


def test_a_listing_has_the_files_only_in_full() -> None:
    brief = select_listed(ABOUT, [], full=False, config=False, card=False)
    assert "siblings" not in brief
    assert select_listed(ABOUT, [], full=True, config=False, card=False)["sha"] == HEAD.sha


def test_files_come_with_sizes_where_asked_and_parameters_with_their_sum() -> None:
    (sibling,) = ABOUT["siblings"]
    assert sibling["lfs"] == {"size": 3, "sha256": "s", "pointerSize": sibling["lfs"]["pointerSize"]}
    assert ABOUT["safetensors"] == {"parameters": {"BF16": 3, "U32": 4}, "total": 7}


def test_an_open_gate_is_false_and_unknown_keys_are_named() -> None:
    assert ABOUT["gated"] is False
    assert unknown_expansions(["sha", "shaa"]) == ["shaa"]
