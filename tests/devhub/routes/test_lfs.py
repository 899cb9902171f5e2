from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, constants

from hubbot.devhub.faults import Faults

# The client itself passes a file in a way that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CONTENT = b"weights" * 100
OID = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _large_files_take_the_lfs_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def _batch(http: httpx.Client, repo: str, size: int = len(CONTENT), oid: str = OID, **more: Any) -> Any:
    body = {"operation": "upload", "transfers": ["basic", "multipart"], "objects": [{"oid": oid, "size": size}]}
    return http.post(f"/{repo}.git/info/lfs/objects/batch", json={**body, **more})


def test_an_upload_needs_its_presigned_address_and_nothing_else(
    http: httpx.Client, browser: httpx.Client, repo: str
) -> None:
    (answer,) = _batch(http, repo).json()["objects"]
    href = answer["actions"]["upload"]["href"]
    assert browser.put(href.partition("?")[0], content=CONTENT).status_code == 403
    assert browser.put(href, content=b"x" * len(CONTENT)).status_code == 400
    assert browser.put(href, content=CONTENT + b"more").status_code == 413
    assert browser.put(href, content=CONTENT).status_code == 200
    verify = answer["actions"]["verify"]["href"]
    assert http.post(verify, json={"oid": OID, "size": len(CONTENT)}).status_code == 200
    assert http.post(verify, json={"oid": OID, "size": 1}).status_code == 404
    assert "actions" not in _batch(http, repo).json()["objects"][0]


def test_a_large_file_goes_up_in_parts(owner: HfApi, repo: str, faults: Faults, tmp_path: Path) -> None:
    weights = tmp_path / "w.bin"
    weights.write_bytes(bytes(17 * 1024 * 1024))
    owner.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id=repo)
    assert faults.count("PUT", r"/lfs/\w+/\d+/\d+$") == 2
    assert faults.count("POST", "/complete$") == 1
    owner.verify_repo_checksums(repo, local_dir=tmp_path)


def test_an_interrupted_upload_leaves_nothing_and_can_be_repeated(
    owner: HfApi, repo: str, faults: Faults, http: httpx.Client
) -> None:
    faults.fail("PUT", "/lfs/", status=400)
    with pytest.raises(Exception, match="Error while uploading"):
        owner.upload_file(path_or_fileobj=b"abc", path_in_repo="w.bin", repo_id=repo)
    oid = hashlib.sha256(b"abc").hexdigest()
    assert "actions" in _batch(http, repo, 3, oid).json()["objects"][0]
    owner.upload_file(path_or_fileobj=b"abc", path_in_repo="w.bin", repo_id=repo)
    assert owner.file_exists(repo, "w.bin")


def test_odd_objects_are_refused(http: httpx.Client, repo: str) -> None:
    assert _batch(http, repo, size=-1).status_code == 400
    assert _batch(http, repo, oid="../../x").status_code == 400
    assert _batch(http, repo, operation="download").status_code == 400
    (answer,) = _batch(http, repo, size=10**15).json()["objects"]
    assert answer["error"]["code"] == 422


def test_nobody_uploads_without_an_account(browser: httpx.Client, repo: str) -> None:
    assert _batch(browser, repo).status_code == 401
