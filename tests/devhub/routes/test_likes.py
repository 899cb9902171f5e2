from __future__ import annotations

import httpx
from huggingface_hub import HfApi


def test_a_like_counts_once_and_can_be_taken_back(owner: HfApi, http: httpx.Client, repo: str) -> None:
    for _ in range(2):
        http.post(f"/api/models/{repo}/like")
    assert owner.model_info(repo).likes == 1
    assert [user.username for user in owner.list_repo_likers(repo)] == ["hubbot"]
    assert repo in owner.list_liked_repos("hubbot").models
    owner.unlike(repo)
    assert owner.model_info(repo).likes == 0
