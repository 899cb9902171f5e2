from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from hubbot.devhub.server import EmbeddedHub

# The client itself passes a file in a way that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

HEADER = {"key": "header", "value": {"summary": "s", "description": ""}}


def _post(http: httpx.Client, repo: str, *lines: Any) -> httpx.Response:
    body = "\n".join(json.dumps(line) for line in lines)
    return http.post(f"/api/models/{repo}/commit/main", content=body)


def test_a_folder_goes_up_and_its_checksums_agree(owner: HfApi, repo: str, model: Path) -> None:
    done = owner.upload_folder(repo_id=repo, folder_path=model, commit_message="all", commit_description="of it")
    assert owner.model_info(repo).sha == done.oid
    found = owner.verify_repo_checksums(repo, local_dir=model)
    assert (found.checked_count, found.mismatches) == (4, [])


def test_files_are_copied_and_deleted(owner: HfApi, seeded: str) -> None:
    owner.create_commit(
        seeded,
        [
            CommitOperationCopy("model.safetensors", "copy.safetensors"),
            CommitOperationDelete("config.json"),
            CommitOperationDelete("notes/"),
        ],
        commit_message="move things",
    )
    assert owner.list_repo_files(seeded) == ["README.md", "copy.safetensors", "model.safetensors"]


def test_a_stale_parent_is_a_412_and_changes_nothing(owner: HfApi, repo: str) -> None:
    first = owner.model_info(repo).sha
    second = owner.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo, parent_commit=first).oid
    with pytest.raises(HfHubHTTPError) as refused:
        owner.upload_file(path_or_fileobj=b"2", path_in_repo="a", repo_id=repo, parent_commit=first)
    assert refused.value.response.status_code == 412
    assert owner.model_info(repo).sha == second


@pytest.mark.parametrize(
    "line",
    [
        {"key": "lfsFile", "value": {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 5}},
        {"key": "file", "value": {"path": "../x", "content": "aGk=", "encoding": "base64"}},
        {"key": "file", "value": {"path": "x", "content": "!", "encoding": "base64"}},
        {"key": "file", "value": {"path": "x"}},
        {"key": "deletedFile", "value": {"path": "absent"}},
        {"key": "rename", "value": {"path": "x"}},
        {"key": "file", "value": 7},
        [],
    ],
)
def test_a_commit_with_one_bad_line_changes_nothing(
    http: httpx.Client, owner: HfApi, repo: str, line: Any
) -> None:
    before = owner.model_info(repo).sha
    good = {"key": "file", "value": {"path": "a", "content": "aGk=", "encoding": "base64"}}
    assert 400 <= _post(http, repo, HEADER, good, line).status_code < 500
    assert owner.model_info(repo).sha == before


def test_a_commit_needs_a_header(http: httpx.Client, repo: str) -> None:
    assert _post(http, repo).status_code == 400


def test_only_branches_take_commits(owner: HfApi, repo: str) -> None:
    owner.create_tag(repo, tag="v1")
    for revision in ("v1", "absent"):
        with pytest.raises(HfHubHTTPError) as refused:
            owner.create_commit(repo, [CommitOperationAdd("a", b"1")], commit_message="m", revision=revision)
        assert refused.value.response.status_code == 404


def test_the_answer_names_the_commit(hub: EmbeddedHub, owner: HfApi, repo: str) -> None:
    done = owner.create_commit(repo, [CommitOperationAdd("a", b"1")], commit_message="m")
    assert done.commit_url == f"{hub.url}/{repo}/commit/{done.oid}"
