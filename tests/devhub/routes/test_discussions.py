from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

# The client itself passes a file in a way that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_a_discussion_is_commented_renamed_and_closed(owner: HfApi, stranger: HfApi, repo: str) -> None:
    made = stranger.create_discussion(repo, title="A question", description="why?")
    stranger.comment_discussion(repo, made.num, "please")
    owner.rename_discussion(repo, made.num, "A good question")
    owner.change_discussion_status(repo, made.num, "closed")
    found = owner.get_discussion_details(repo, made.num)
    assert (found.title, found.status, found.author) == ("A good question", "closed", "somebody")
    assert [event.type for event in found.events] == ["comment", "comment", "title-change", "status-change"]
    assert list(owner.get_repo_discussions(repo, discussion_status="open")) == []
    assert [one.num for one in owner.get_repo_discussions(repo, author="somebody")] == [made.num]


def test_a_pull_request_takes_commits_and_is_merged(owner: HfApi, stranger: HfApi, repo: str, model: Path) -> None:
    done = stranger.upload_folder(repo_id=repo, folder_path=model, create_pr=True)
    assert done.pr_num is not None
    stranger.create_commit(
        repo, [CommitOperationAdd("more.txt", b"1")], commit_message="more", revision=done.pr_revision
    )
    owner.upload_file(path_or_fileobj=b"x", path_in_repo="meanwhile.txt", repo_id=repo)
    with pytest.raises(HfHubHTTPError):
        stranger.merge_pull_request(repo, done.pr_num)
    owner.merge_pull_request(repo, done.pr_num)
    assert {"more.txt", "meanwhile.txt", "model.safetensors"} <= set(owner.list_repo_files(repo))
    assert owner.get_discussion_details(repo, done.pr_num).status == "merged"


def test_a_conflict_is_not_merged(owner: HfApi, repo: str) -> None:
    change = [CommitOperationAdd("a.txt", b"theirs")]
    proposal = owner.create_commit(repo, change, commit_message="theirs", create_pr=True)
    assert proposal.pr_num is not None
    owner.upload_file(path_or_fileobj=b"ours", path_in_repo="a.txt", repo_id=repo)
    with pytest.raises(HfHubHTTPError) as refused:
        owner.merge_pull_request(repo, proposal.pr_num)
    assert refused.value.response.status_code == 409
