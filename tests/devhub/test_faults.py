from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from hubbot.devhub.faults import Faults
from hubbot.devhub.server import EmbeddedHub


def test_the_next_requests_fail_and_then_no_more(http: httpx.Client, faults: Faults) -> None:
    faults.fail("GET", "/api/whoami", times=2, status=503, headers={"Retry-After": "7"})
    assert http.post("/api/whoami-v2").status_code == 405
    refused = [http.get("/api/whoami-v2") for _ in range(2)]
    assert [one.status_code for one in refused] == [503, 503]
    assert refused[0].headers["retry-after"] == "7"
    assert http.get("/api/whoami-v2").status_code == 200


def test_a_rate_limit_speaks_the_hubs_headers(owner: HfApi, repo: str, faults: Faults) -> None:
    faults.limit_rate("GET", repo, wait=55)
    with pytest.raises(HfHubHTTPError, match="Retry after 55 seconds"):
        owner.model_info(repo)


def test_a_refused_commit_has_no_effect(owner: HfApi, repo: str, faults: Faults) -> None:
    faults.fail("POST", "/commit/")
    with pytest.raises(HfHubHTTPError):
        owner.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    assert not owner.file_exists(repo, "a.txt")


def test_a_lost_answer_leaves_the_commit_in_place(owner: HfApi, repo: str, faults: Faults) -> None:
    faults.cut("POST", "/commit/", after=0)
    with pytest.raises(Exception, match=r"(?i)peer closed|disconnected"):
        owner.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo)
    assert owner.file_exists(repo, "a.txt")


@pytest.mark.parametrize("has_effect", [False, True])
def test_a_connection_breaks_before_or_after_the_effect_also_where_the_answer_is_empty(
    owner: HfApi, http: httpx.Client, repo: str, faults: Faults, *, has_effect: bool
) -> None:
    seen: list[bool] = []

    def look() -> None:
        seen.append(True)

    if has_effect:
        faults.cut("POST", "/tag/", after=0, meanwhile=look)
    else:
        faults.reset("POST", "/tag/", meanwhile=look)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        http.post(f"/api/models/{repo}/tag/main", json={"tag": "v1"}, headers={"Authorization": "Bearer hf_owner"})
    assert seen == [True]
    assert [tag.name for tag in owner.list_repo_refs(repo).tags] == (["v1"] if has_effect else [])


def test_a_reset_has_no_status_whatever_the_method(http: httpx.Client, seeded: str, faults: Faults) -> None:
    faults.reset("*", "/resolve/", times=2)
    for method in ("HEAD", "GET"):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            http.request(method, f"/{seeded}/resolve/main/model.safetensors")
    assert [one.status for one in faults.exchanges("*", "/resolve/")[-2:]] == [0, 0]
    assert http.get(f"/{seeded}/resolve/main/model.safetensors", follow_redirects=True).status_code == 200


def test_a_download_breaks_in_the_middle(http: httpx.Client, seeded: str, faults: Faults) -> None:
    faults.cut("GET", r"/resolve/.*\.safetensors", after=100)
    with pytest.raises(httpx.RemoteProtocolError, match="received 100 bytes, expected 1100"):
        http.get(f"/{seeded}/resolve/main/model.safetensors")
    assert faults.bytes_sent("GET", "/resolve/") == 100


def test_the_client_gets_over_a_broken_download(
    hub: EmbeddedHub, model: Path, seeded: str, faults: Faults, tmp_path: Path
) -> None:
    faults.clear()
    faults.cut("GET", "/xet/blocks/", after=100)
    path = hf_hub_download(
        seeded, "model.safetensors", endpoint=hub.url, token="hf_owner", local_dir=tmp_path / "down"
    )
    assert Path(path).read_bytes() == (model / "model.safetensors").read_bytes()
    assert [one.sent for one in faults.exchanges("GET", "/xet/blocks/")] == [100, 1108]


def test_without_xet_the_client_gets_over_a_broken_download(
    hub: EmbeddedHub, model: Path, seeded: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    faults.clear()
    faults.cut("GET", "/resolve/", after=100)
    path = hf_hub_download(
        seeded, "model.safetensors", endpoint=hub.url, token="hf_owner", local_dir=tmp_path / "down"
    )
    assert Path(path).read_bytes() == (model / "model.safetensors").read_bytes()
    assert [one.sent for one in faults.exchanges("GET", "/resolve/")] == [100, 1100]


def test_requests_and_bytes_are_counted(http: httpx.Client, seeded: str, faults: Faults) -> None:
    faults.clear()
    http.get(f"/{seeded}/resolve/main/model.safetensors", headers={"Range": "bytes=0-7"})
    http.get("/api/models")
    assert faults.count() == 2
    (read,) = faults.exchanges("GET", "/resolve/")
    assert (read.status, read.sent, read.range) == (206, 8, "bytes=0-7")


@pytest.mark.parametrize("size", [2, 300_000])
def test_a_body_is_taken_in_slowly_in_however_many_parts_it_comes(
    owner: HfApi, repo: str, faults: Faults, size: int
) -> None:
    faults.trickle("POST", "/preupload/", pause=0.2)
    begun = time.monotonic()
    owner.upload_file(path_or_fileobj=b"1" * size, path_in_repo="a.txt", repo_id=repo)
    assert time.monotonic() - begun >= 0.2
