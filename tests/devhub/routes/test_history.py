from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RevisionNotFoundError


def test_commits_come_newest_first(owner: HfApi, repo: str) -> None:
    done = owner.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo, commit_message="add a")
    commits = owner.list_repo_commits(repo)
    assert [commit.title for commit in commits] == ["add a", "initial commit"]
    assert (commits[0].commit_id, commits[0].authors) == (done.oid, ["hubbot"])


def test_squashing_leaves_one_commit_with_the_same_files(owner: HfApi, repo: str) -> None:
    owner.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo)
    files = owner.list_repo_files(repo)
    owner.super_squash_history(repo, commit_message="all in one")
    assert [commit.title for commit in owner.list_repo_commits(repo)] == ["all in one"]
    assert owner.list_repo_files(repo) == files
    with pytest.raises(RevisionNotFoundError):
        owner.super_squash_history(repo, branch="absent")
