"""The client as it comes, xet switched on, and what it would never send."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from hubbot.devhub.accounts import Account
from hubbot.devhub.faults import Faults
from hubbot.devhub.server import EmbeddedHub
from hubbot.devhub.xet_xorbs import plain_header


def _bytes(size: int, seed: int | str) -> bytes:
    return random.Random(seed).randbytes(size)


class Access(Protocol):
    """Asks for a token and gives a client of the storage that carries it."""

    def __call__(self, repo: str, scope: str) -> httpx.Client: ...


@pytest.fixture
def access(http: httpx.Client) -> Iterator[Access]:
    with ExitStack() as opened:

        def ask(repo: str, scope: str) -> httpx.Client:
            told = http.get(f"/api/models/{repo}/xet-{scope}-token/main")
            assert told.headers["x-xet-access-token"] == told.json()["accessToken"]
            headers = {"authorization": f"Bearer {told.json()['accessToken']}"}
            client = httpx.Client(base_url=told.json()["casUrl"], headers=headers, trust_env=False)
            return opened.enter_context(client)

        yield ask


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of 5 MB whose halves the client packs in different ways."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(_bytes(3_000_001, 1) + bytes(1_000_000) + b"\x00\x3f\x80\x01" * 250_000)
    return path


def test_a_file_goes_up_and_comes_down_over_xet(
    hub: EmbeddedHub, owner: HfApi, repo: str, faults: Faults, weights: Path, tmp_path: Path
) -> None:
    faults.clear()
    owner.upload_file(path_or_fileobj=weights, path_in_repo="a/w.safetensors", repo_id=repo)
    assert faults.count("POST", "/v1/xorbs/") == 1
    assert faults.count("*", "/lfs/") == 0
    (listed,) = owner.get_paths_info(repo, ["a/w.safetensors"])
    assert listed.lfs is not None  # type: ignore[union-attr]
    assert listed.lfs.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()  # type: ignore[union-attr]
    faults.clear()
    got = hf_hub_download(repo, "a/w.safetensors", endpoint=hub.url, token="hf_owner", local_dir=tmp_path / "to")
    assert Path(got).read_bytes() == weights.read_bytes()
    assert faults.bytes_sent("GET", "/xet/blocks/") > weights.stat().st_size
    assert faults.bytes_sent("GET", "/resolve/") == 0


def test_what_came_in_another_way_comes_down_over_xet(
    hub: EmbeddedHub, seeded: str, model: Path, faults: Faults, tmp_path: Path
) -> None:
    faults.clear()
    snapshot_download(seeded, endpoint=hub.url, token="hf_owner", local_dir=tmp_path / "to")
    assert (tmp_path / "to" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert faults.count("GET", "/xet/blocks/") == 1


def test_the_first_chunk_of_a_file_is_known_to_whoever_asks(
    access: Access, owner: HfApi, repo: str, faults: Faults, tmp_path: Path
) -> None:
    faults.clear()
    unique = tmp_path / "w.safetensors"
    unique.write_bytes(_bytes(300_000, 2))
    owner.upload_file(path_or_fileobj=unique, path_in_repo="w.safetensors", repo_id=repo)
    (asked, *_) = faults.exchanges("GET", "/v1/chunks/")
    assert asked.status == 404
    first = asked.path.rpartition("/")[2]
    storage = access(repo, "write")
    answer = storage.get(f"/v1/chunks/default/{first}")
    assert answer.status_code == 200
    assert answer.content.startswith(b"HFRepoMetaData\0")
    assert storage.get(f"/v1/chunks/default/{'0' * 64}").status_code == 404


def test_uploads_survive_a_restart(tmp_path: Path, weights: Path) -> None:
    accounts = {"hf_owner": Account("hubbot")}
    with EmbeddedHub(tmp_path / "hub", accounts=accounts) as hub:
        api = HfApi(endpoint=hub.url, token="hf_owner")
        api.create_repo("hubbot/a")
        api.upload_file(path_or_fileobj=weights, path_in_repo="w.safetensors", repo_id="hubbot/a")
        before = api.get_paths_info("hubbot/a", ["w.safetensors"])[0]
    faults = Faults()
    with EmbeddedHub(tmp_path / "hub", accounts=accounts, faults=faults) as hub:
        api = HfApi(endpoint=hub.url, token="hf_owner")
        assert api.get_paths_info("hubbot/a", ["w.safetensors"])[0] == before
        changed = tmp_path / "changed.safetensors"
        changed.write_bytes(weights.read_bytes() + b"more")
        api.upload_file(path_or_fileobj=changed, path_in_repo="w2.safetensors", repo_id="hubbot/a")
        sent = sum(one.received for one in faults.exchanges("POST", "/v1/xorbs/"))
        assert sent < 500_000
        got = hf_hub_download("hubbot/a", "w2.safetensors", endpoint=hub.url, token="hf_owner", local_dir=tmp_path)
        assert Path(got).read_bytes() == changed.read_bytes()


@pytest.mark.parametrize("path", ["/xet-write-token/", "/v1/chunks/", "/v1/xorbs/", "/v2/shards", "/commit/"])
def test_a_refused_upload_leaves_no_file(
    owner: HfApi, repo: str, faults: Faults, tmp_path: Path, path: str
) -> None:
    faults.fail("*", path, status=400, times=99)
    unique = tmp_path / "w.bin"
    unique.write_bytes(_bytes(3000, path))
    if path == "/v1/chunks/":  # a question that the client can do without
        owner.upload_file(path_or_fileobj=unique, path_in_repo="w.bin", repo_id=repo)
    else:
        with pytest.raises(Exception, match=r"400|Bad request"):
            owner.upload_file(path_or_fileobj=unique, path_in_repo="w.bin", repo_id=repo)
    faults.clear()
    assert owner.file_exists(repo, "w.bin") == (path == "/v1/chunks/")


def test_a_download_that_breaks_off_is_taken_up_again(
    hub: EmbeddedHub, seeded: str, model: Path, faults: Faults, tmp_path: Path
) -> None:
    faults.clear()
    faults.cut("GET", "/xet/blocks/", after=100)
    faults.fail("GET", "/v2/reconstructions/", status=503)
    got = hf_hub_download(seeded, "model.safetensors", endpoint=hub.url, token="hf_owner", local_dir=tmp_path)
    assert Path(got).read_bytes() == (model / "model.safetensors").read_bytes()
    assert faults.count("GET", "/xet/blocks/") == 2


def test_tokens_open_what_their_owner_may_open(
    hub: EmbeddedHub, http: httpx.Client, browser: httpx.Client, access: Access, model: Path
) -> None:
    hub.seed("somebody/closed", model, gated=True)
    hub.seed("hubbot/open", model)
    assert http.get("/api/models/somebody/closed/xet-read-token/main").status_code == 403
    assert browser.get("/api/models/hubbot/open/xet-write-token/main").status_code == 401
    assert http.get("/api/models/hubbot/open/xet-read-token/nope").status_code == 404
    read = access("hubbot/open", "read")
    assert read.post(f"/v1/xorbs/default/{'0' * 64}", content=b"x").status_code == 403
    assert read.post("/v2/shards", content=b"x").status_code == 403
    assert httpx.get(f"{read.base_url}v1/chunks/default/{'0' * 64}", trust_env=False).status_code == 401


def test_the_name_of_a_file_alone_does_not_open_it(
    hub: EmbeddedHub, http: httpx.Client, access: Access, model: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "model.safetensors").write_bytes(b"a secret of many words")
    hub.seed("somebody/hidden", secret, gated=True)
    hub.seed("hubbot/mine", model)
    name = http.get("/api/models/somebody/hidden/tree/main").json()[0]["xetHash"]
    storage = access("hubbot/mine", "read")
    assert storage.get(f"/v2/reconstructions/{name}").status_code == 404
    own = http.post("/api/models/hubbot/mine/paths-info/main", data={"paths": "model.safetensors"}).json()
    assert storage.get(f"/v2/reconstructions/{own[0]['xetHash']}").status_code == 200
    past = storage.get(f"/v2/reconstructions/{own[0]['xetHash']}", headers={"Range": "bytes=99999-"})
    assert past.status_code == 416


def test_bytes_need_their_presigned_address(http: httpx.Client, access: Access, seeded: str) -> None:
    own = http.post(f"/api/models/{seeded}/paths-info/main", data={"paths": "model.safetensors"}).json()[0]
    storage = access(seeded, "read")
    told = storage.get(f"/v2/reconstructions/{own['xetHash']}", headers={"Range": "bytes=10-19"}).json()
    assert told["offset_into_first_range"] == 10
    (fetches,) = told["xorbs"].values()
    address = fetches[0]["url"]
    assert httpx.get(address, headers={"Range": "bytes=0-7"}, trust_env=False).content == plain_header(own["size"])
    assert httpx.get(address.partition("?")[0], trust_env=False).status_code == 403
    assert httpx.get(address, headers={"Range": "bytes=9999-"}, trust_env=False).status_code == 416


def test_odd_bodies_are_refused(access: Access, repo: str) -> None:
    storage = access(repo, "write")
    assert storage.post("/v1/xorbs/default/..%2Fx", content=b"x").status_code == 400
    assert storage.post(f"/v1/xorbs/default/{'0' * 64}", content=b"x" * 100).status_code == 400
    assert storage.post(f"/v1/xorbs/default/{'0' * 64}", content=b"").status_code == 400
    assert storage.post("/v1/shards", content=b"x").status_code == 400
    assert storage.post("/v2/shards", content=b"x" * 200).status_code == 400
    other = str(storage.base_url).rstrip("/").rpartition("/")[0]
    headers = dict(storage.headers)
    assert httpx.post(f"{other}/0000/v2/shards", headers=headers, trust_env=False).status_code == 404
