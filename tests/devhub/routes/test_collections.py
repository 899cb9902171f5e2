from __future__ import annotations

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError


def test_a_collection_gathers_repos_once(owner: HfApi, repo: str, seeded: str) -> None:
    made = owner.create_collection("MLX MoE", namespace="mlx-moe", description="d")
    assert made.slug.startswith("mlx-moe/mlx-moe-")
    owner.add_collection_item(made.slug, repo, "model", note="the first")
    owner.add_collection_item(made.slug, seeded, "model")
    with pytest.raises(HfHubHTTPError) as refused:
        owner.add_collection_item(made.slug, repo, "model")
    assert refused.value.response.status_code == 409
    found = owner.add_collection_item(made.slug, repo, "model", exists_ok=True)
    assert [(item.item_id, item.note) for item in found.items] == [(repo, "the first"), (seeded, None)]
    assert owner.create_collection("MLX MoE", namespace="mlx-moe", exists_ok=True).slug == made.slug
    assert made.slug in [one.slug for one in owner.list_collections(owner="mlx-moe")]
    assert [one.slug for one in owner.list_collections(item=f"models/{seeded}")] == [made.slug]


def test_items_change_their_place_and_leave(owner: HfApi, repo: str, seeded: str) -> None:
    slug = owner.create_collection("Places").slug
    owner.add_collection_item(slug, repo, "model")
    first, second = owner.add_collection_item(slug, seeded, "model").items
    owner.update_collection_item(slug, second.item_object_id, note="n", position=0)
    assert [item.item_id for item in owner.get_collection(slug).items] == [seeded, repo]
    owner.delete_collection_item(slug, first.item_object_id)
    owner.delete_collection_item(slug, first.item_object_id, missing_ok=True)
    assert [item.note for item in owner.get_collection(slug).items] == ["n"]


def test_a_renamed_collection_keeps_its_id(owner: HfApi) -> None:
    made = owner.create_collection("Before")
    after = owner.update_collection_metadata(made.slug, title="After")
    assert after.slug != made.slug
    assert owner.get_collection(made.slug).title == "After"
    owner.delete_collection(after.slug)
    owner.delete_collection(after.slug, missing_ok=True)


def test_others_neither_change_it_nor_see_a_private_one(owner: HfApi, stranger: HfApi, repo: str) -> None:
    slug = owner.create_collection("Mine", private=True).slug
    with pytest.raises(HfHubHTTPError) as refused:
        stranger.get_collection(slug)
    assert refused.value.response.status_code == 404
    owner.update_collection_metadata(slug, private=False)
    with pytest.raises(HfHubHTTPError) as refused:
        stranger.add_collection_item(slug, repo, "model")
    assert refused.value.response.status_code == 403


def test_a_missing_repo_cannot_be_collected(owner: HfApi) -> None:
    slug = owner.create_collection("Empty").slug
    with pytest.raises(HfHubHTTPError) as refused:
        owner.add_collection_item(slug, "hubbot/absent", "model")
    assert refused.value.response.status_code == 404


def test_a_collection_shows_nobody_a_repo_they_may_not_see(owner: HfApi, stranger: HfApi, repo: str) -> None:
    slug = owner.create_collection("Half private").slug
    owner.add_collection_item(slug, repo, "model")
    owner.update_repo_settings(repo, private=True)
    assert [item.item_id for item in owner.get_collection(slug).items] == [repo]
    assert stranger.get_collection(slug).items == []
