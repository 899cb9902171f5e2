from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError


def test_whoami_names_the_account_and_its_organisations(owner: HfApi) -> None:
    me = owner.whoami()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("hubbot", ["mlx-moe"])


def test_a_bad_token_is_a_401(owner: HfApi) -> None:
    with pytest.raises(HfHubHTTPError) as refused:
        owner.whoami(token="hf_bad")
    assert refused.value.response.status_code == 401


def test_auth_check_tells_who_may_read(owner: HfApi, stranger: HfApi, repo: str) -> None:
    owner.auth_check(repo)
    stranger.auth_check(repo)
    owner.update_repo_settings(repo, gated="manual")
    with pytest.raises(GatedRepoError):
        stranger.auth_check(repo)
    with pytest.raises(RepositoryNotFoundError):
        owner.auth_check("hubbot/missing")


def test_users_and_organisations_have_overviews(owner: HfApi) -> None:
    assert owner.get_user_overview("hubbot").username == "hubbot"
    assert owner.get_organization_overview("mlx-moe").name == "mlx-moe"
    assert [user.username for user in owner.list_organization_members("mlx-moe")] == ["hubbot"]
    with pytest.raises(HfHubHTTPError):
        owner.get_user_overview("nobody")
