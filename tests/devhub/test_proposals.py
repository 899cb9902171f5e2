from __future__ import annotations

from huggingface_hub import CommitOperationAdd, HfApi


def test_discussions_and_pull_requests_are_numbered_together(owner: HfApi, stranger: HfApi, repo: str) -> None:
    assert stranger.create_discussion(repo, title="A question").num == 1
    change = [CommitOperationAdd("a.txt", b"1")]
    proposal = stranger.create_commit(repo, change, commit_message="a change", create_pr=True)
    assert proposal.pr_num == 2
    assert stranger.file_exists(repo, "a.txt", revision="refs/pr/2")
    assert not owner.file_exists(repo, "a.txt")
    assert owner.list_repo_refs(repo, include_pull_requests=True).pull_requests
