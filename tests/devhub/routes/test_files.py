from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, RemoteEntryNotFoundError

from hubbot.devhub.server import EmbeddedHub


def test_head_tells_what_the_client_caches_by(owner: HfApi, http: httpx.Client, seeded: str, model: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    head = http.head(f"/{seeded}/resolve/main/model.safetensors")
    assert head.headers["x-linked-etag"] == f'"{hashlib.sha256(weights).hexdigest()}"'
    assert head.headers["x-linked-size"] == head.headers["content-length"] == str(len(weights))
    assert head.headers["x-repo-commit"] == owner.model_info(seeded).sha
    assert len(head.headers["x-xet-hash"]) == 64
    small = http.head(f"/{seeded}/resolve/main/config.json")
    assert len(small.headers["etag"].strip('"')) == 40
    assert "x-xet-hash" not in small.headers


def test_a_range_is_a_range(http: httpx.Client, seeded: str, model: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    address = f"/{seeded}/resolve/main/model.safetensors"
    part = http.get(address, headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, weights[8:16])
    assert part.headers["content-range"] == f"bytes 8-15/{len(weights)}"
    assert http.get(address, headers={"Range": f"bytes=8-{10**9}"}).content == weights[8:]
    past = http.get(address, headers={"Range": f"bytes={len(weights)}-"})
    assert past.status_code == 416


def test_a_snapshot_is_the_folder(
    hub: EmbeddedHub, owner: HfApi, seeded: str, model: Path, tmp_path: Path
) -> None:
    got = Path(
        snapshot_download(
            seeded,
            revision=owner.model_info(seeded).sha,
            endpoint=hub.url,
            token="hf_owner",
            local_dir=tmp_path / "got",
        )
    )
    for path in (path for path in model.rglob("*") if path.is_file()):
        assert (got / path.relative_to(model)).read_bytes() == path.read_bytes()


def test_safetensors_headers_are_read_in_place(owner: HfApi, seeded: str) -> None:
    assert owner.get_safetensors_metadata(seeded).parameter_count == {"F32": 256}


def test_a_missing_file_names_the_commit_it_is_missing_from(
    hub: EmbeddedHub, owner: HfApi, seeded: str, tmp_path: Path
) -> None:
    with pytest.raises(RemoteEntryNotFoundError) as missing:
        hf_hub_download(seeded, "absent", endpoint=hub.url, token="hf_owner", local_dir=tmp_path / "got")
    assert missing.value.response.headers["x-repo-commit"] == owner.model_info(seeded).sha


def test_a_gate_keeps_files_but_not_metadata(
    hub: EmbeddedHub, owner: HfApi, stranger: HfApi, seeded: str, tmp_path: Path
) -> None:
    owner.update_repo_settings(seeded, gated="auto")
    assert stranger.model_info(seeded).sha
    for token, status, message in (
        (False, 401, "Please log in"),
        ("hf_stranger", 403, "not in the authorized list"),
    ):
        with pytest.raises(GatedRepoError, match=message) as refused:
            hf_hub_download(seeded, "config.json", endpoint=hub.url, token=token, local_dir=tmp_path / "got")
        assert refused.value.response.status_code == status


def test_downloads_are_counted_by_the_config(owner: HfApi, http: httpx.Client, seeded: str) -> None:
    http.get(f"/{seeded}/resolve/main/config.json")
    http.get(f"/{seeded}/resolve/main/README.md")
    assert owner.model_info(seeded).downloads == 1


def test_an_uploaded_page_cannot_run_in_a_browser(http: httpx.Client, owner: HfApi, repo: str) -> None:
    owner.upload_file(path_or_fileobj=b"<script>", path_in_repo="x.html", repo_id=repo)
    page = http.get(f"/{repo}/resolve/main/x.html")
    assert page.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in page.headers["content-security-policy"]
