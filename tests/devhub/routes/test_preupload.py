from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
from huggingface_hub import HfApi


def test_it_says_how_to_upload_and_what_is_there_already(http: httpx.Client, seeded: str, model: Path) -> None:
    names = ["model.safetensors", "config.json", "new.bin"]
    files = [{"path": name, "size": 10, "sample": ""} for name in names]
    answer = http.post(f"/api/models/{seeded}/preupload/main", json={"files": files}).json()["files"]
    sha256 = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert [(one["uploadMode"], one["shouldIgnore"]) for one in answer] == [
        *(("lfs", False), ("regular", False), ("lfs", False))
    ]
    assert answer[0]["oid"] == sha256
    assert len(answer[1]["oid"]) == 40
    assert "oid" not in answer[2]


def test_uploading_what_is_there_makes_no_commit(owner: HfApi, seeded: str, model: Path) -> None:
    before = owner.model_info(seeded).sha
    assert owner.upload_folder(repo_id=seeded, folder_path=model).oid == before


def test_a_path_out_of_the_repo_is_refused(http: httpx.Client, seeded: str) -> None:
    files = [{"path": "../x", "size": 1, "sample": ""}]
    assert http.post(f"/api/models/{seeded}/preupload/main", json={"files": files}).status_code == 400
