from __future__ import annotations

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.hf_api import RepoFile, RepoFolder


def test_a_tree_shows_one_level_or_all(owner: HfApi, seeded: str) -> None:
    top = {item.path: item for item in owner.list_repo_tree(seeded)}
    assert isinstance(top["notes"], RepoFolder)
    assert "notes/a b.txt" not in top
    everything = {item.path: item for item in owner.list_repo_tree(seeded, recursive=True)}
    assert everything.keys() - top.keys() == {"notes/a b.txt"}
    inside = list(owner.list_repo_tree(seeded, "notes"))
    assert [item.path for item in inside] == ["notes/a b.txt"]


def test_a_missing_folder_is_an_entry_not_found(owner: HfApi, seeded: str) -> None:
    with pytest.raises(EntryNotFoundError):
        list(owner.list_repo_tree(seeded, "absent"))


def test_expanded_files_name_the_commit_that_last_touched_them(owner: HfApi, repo: str) -> None:
    first = owner.create_commit(
        repo, [CommitOperationAdd("a/x", b"1"), CommitOperationAdd("b", b"1")], commit_message="1"
    )
    second = owner.create_commit(repo, [CommitOperationAdd("b", b"2")], commit_message="2")
    last = {item.path: item.last_commit for item in owner.list_repo_tree(repo, expand=True)}
    assert {path: commit and commit.oid for path, commit in last.items() if path != ".gitattributes"} == {
        "a": first.oid,
        "b": second.oid,
    }


def test_paths_info_leaves_out_what_is_not_there(owner: HfApi, seeded: str) -> None:
    found = owner.get_paths_info(seeded, ["model.safetensors", "notes", "absent"], expand=True)
    assert [item.path for item in found] == ["model.safetensors", "notes"]
    assert isinstance(found[0], RepoFile)
    assert found[0].lfs
    assert found[0].security


def test_a_tree_comes_in_pages(http: httpx.Client, seeded: str) -> None:
    page = http.get(f"/api/models/{seeded}/tree/main?recursive=true&limit=2")
    assert len(page.json()) == 2
    rest = http.get(page.links["next"]["url"])
    assert len(rest.json()) == 2
