from __future__ import annotations

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError


def test_a_repo_is_made_once_also_in_an_organisation(owner: HfApi, stranger: HfApi) -> None:
    url = owner.create_repo("mlx-moe/made", private=True)
    assert url.repo_id == "mlx-moe/made"
    assert owner.model_info("mlx-moe/made").private
    with pytest.raises(HfHubHTTPError) as refused:
        owner.create_repo("mlx-moe/made")
    assert refused.value.response.status_code == 409
    assert owner.create_repo("mlx-moe/made", exist_ok=True) == url
    with pytest.raises(HfHubHTTPError) as refused:
        stranger.create_repo("mlx-moe/other")
    assert refused.value.response.status_code == 403


def test_a_space_lives_beside_a_model_of_the_same_name(owner: HfApi, repo: str) -> None:
    owner.create_repo(repo, repo_type="space", space_sdk="static")
    owner.upload_file(path_or_fileobj=b"<p>", path_in_repo="index.html", repo_id=repo, repo_type="space")
    assert owner.file_exists(repo, "index.html", repo_type="space")
    assert not owner.file_exists(repo, "index.html")


def test_a_deleted_repo_is_gone(owner: HfApi, stranger: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as refused:
        stranger.delete_repo(repo)
    assert refused.value.response.status_code == 403
    owner.update_repo_settings(repo, private=True)
    with pytest.raises(RepositoryNotFoundError):
        stranger.delete_repo(repo)
    owner.delete_repo(repo)
    assert not owner.repo_exists(repo)
    with pytest.raises(RepositoryNotFoundError):
        owner.delete_repo(repo)
    owner.delete_repo(repo, missing_ok=True)


def test_a_moved_repo_answers_under_its_old_name(owner: HfApi, repo: str) -> None:
    owner.move_repo(repo, f"{repo}-new")
    assert owner.model_info(repo).id == f"{repo}-new"
    assert owner.file_exists(repo, ".gitattributes")


def test_settings_change_only_what_is_named(owner: HfApi, repo: str) -> None:
    owner.update_repo_settings(repo, gated="manual")
    owner.update_repo_settings(repo, private=True)
    info = owner.model_info(repo)
    assert (info.gated, info.private) == ("manual", True)
    owner.update_repo_settings(repo, gated=False, private=False)
    info = owner.model_info(repo)
    assert (info.gated, info.private) == (False, False)


def test_a_card_is_checked_in_json_whatever_it_holds(http: httpx.Client) -> None:
    fine = http.post("/api/validate-yaml", json={"content": "---\nlicense: mit\n---\n", "repoType": "model"})
    assert (fine.status_code, fine.json()) == (200, {"errors": [], "warnings": []})
    broken = http.post("/api/validate-yaml", json={"content": "---\na: [\n---\n", "repoType": "model"})
    assert broken.status_code == 400
    assert broken.json()["errors"][0]["message"]
