from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError


def test_an_owner_lets_a_user_in(owner: HfApi, stranger: HfApi, repo: str) -> None:
    owner.update_repo_settings(repo, gated="manual")
    with pytest.raises(GatedRepoError):
        stranger.auth_check(repo)
    owner.grant_access(repo, "somebody")
    stranger.auth_check(repo)
    assert [one.username for one in owner.list_accepted_access_requests(repo)] == ["somebody"]
    assert list(owner.list_pending_access_requests(repo)) == []


def test_nobody_else_does(stranger: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError):
        stranger.grant_access(repo, "somebody")
