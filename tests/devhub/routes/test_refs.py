from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError


def test_a_tag_stays_where_it_was_put(owner: HfApi, repo: str) -> None:
    sha = owner.model_info(repo).sha
    owner.create_tag(repo, tag="v1", tag_message="the first")
    owner.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo)
    assert owner.model_info(repo, revision="v1").sha == sha
    assert [(tag.name, tag.target_commit) for tag in owner.list_repo_refs(repo).tags] == [("v1", sha)]
    owner.delete_tag(repo, tag="v1")
    assert owner.list_repo_refs(repo).tags == []


def test_what_exists_is_a_409_unless_that_is_fine(owner: HfApi, repo: str) -> None:
    owner.create_tag(repo, tag="v1")
    owner.create_branch(repo, branch="b1")
    with pytest.raises(HfHubHTTPError) as refused:
        owner.create_tag(repo, tag="v1")
    assert refused.value.response.status_code == 409
    with pytest.raises(HfHubHTTPError) as refused:
        owner.create_branch(repo, branch="b1")
    assert refused.value.response.status_code == 409
    owner.create_tag(repo, tag="v1", exist_ok=True)
    owner.create_branch(repo, branch="b1", exist_ok=True)


def test_a_branch_starts_at_a_revision_and_main_cannot_be_deleted(owner: HfApi, repo: str) -> None:
    sha = owner.model_info(repo).sha
    owner.upload_file(path_or_fileobj=b"1", path_in_repo="a", repo_id=repo)
    owner.create_branch(repo, branch="b1", revision=sha)
    assert owner.model_info(repo, revision="b1").sha == sha
    owner.delete_branch(repo, branch="b1")
    with pytest.raises(HfHubHTTPError):
        owner.delete_branch(repo, branch="main")
    with pytest.raises(RevisionNotFoundError):
        owner.delete_branch(repo, branch="b1")
