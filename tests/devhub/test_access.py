from __future__ import annotations

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError


def test_a_private_repo_looks_like_a_missing_one_to_others(
    owner: HfApi, stranger: HfApi, anonymous: HfApi, repo: str
) -> None:
    owner.update_repo_settings(repo, private=True)
    assert owner.repo_exists(repo)
    for visitor in (stranger, anonymous):
        with pytest.raises(RepositoryNotFoundError):
            visitor.model_info(repo)
        with pytest.raises(RepositoryNotFoundError):
            visitor.create_tag(repo, tag="v1")
        assert repo not in [model.id for model in visitor.list_models(author="hubbot")]


def test_an_unknown_token_is_refused_also_where_nobody_needs_one(http: httpx.Client, repo: str) -> None:
    refused = http.get(f"/api/models/{repo}", headers={"authorization": "Bearer hf_bad"})
    assert refused.status_code == 401
    assert refused.headers["x-error-message"] == "Invalid credentials in Authorization header"


def test_a_stranger_may_not_write_and_the_anonymous_must_log_in(
    stranger: HfApi, anonymous: HfApi, repo: str
) -> None:
    for visitor, status in ((stranger, 403), (anonymous, 401)):
        with pytest.raises(HfHubHTTPError) as refused:
            visitor.create_tag(repo, tag="v1")
        assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    "path", ["/api/models/..%2f..%2fetc/passwd", "/api/models/%2e%2e/%2e%2e", "/api/models/a/b"]
)
def test_a_name_that_is_no_repo_name_is_a_missing_repo(http: httpx.Client, path: str) -> None:
    refused = http.get(path)
    assert (refused.status_code, refused.headers["x-error-code"]) == (404, "RepoNotFound")
