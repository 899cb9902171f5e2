from __future__ import annotations

import httpx
from huggingface_hub import HfApi


def test_a_revision_with_a_slash_is_one_segment(owner: HfApi, http: httpx.Client, repo: str) -> None:
    owner.create_branch(repo, branch="feature/x")
    sha = owner.model_info(repo).sha
    assert http.get(f"/api/models/{repo}/revision/feature%2Fx").json()["sha"] == sha
    assert http.get(f"/{repo}/resolve/refs%2Fheads%2Ffeature%2Fx/.gitattributes").status_code == 200


def test_a_path_means_the_same_with_its_slash_encoded_or_not(http: httpx.Client, seeded: str) -> None:
    for spelled in ("notes/a%20b.txt", "notes%2Fa%20b.txt"):
        assert http.get(f"/{seeded}/resolve/main/{spelled}").text == "a note"
    assert http.get(f"/api/models/{seeded}/tree/main/notes").json()[0]["path"] == "notes/a b.txt"
