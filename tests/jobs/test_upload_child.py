"""An upload in a child: it can be ended at any moment, and nobody but its pipe learns the token."""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbot.deadlines import Interrupted
from hubbot.errors import HubUnavailable, TokenRejected
from hubbot.hub.client import Hub
from hubbot.hub.uploads import Upload
from hubbot.jobs.upload_child import network_of, upload_in_child
from tests.hub.embedded import LFS_WARNING, ORG, OWNER, STRANGER, Site, calm, impatient, running
from tests.story.bots import settings

pytestmark = [
    pytest.mark.filterwarnings(LFS_WARNING),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc"),
]
REPO = f"{ORG}/Fox"
FILES = ["config.json", "model.safetensors"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
    with running(tmp_path / "hub") as started:
        started.client().create_private(REPO)
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(os.urandom(1 << 18))
    return made


def hub_of(site: Site, tmp_path: Path, cancelled: threading.Event, token: str = OWNER) -> Hub:
    client = site.client(token, patience=impatient()).until(cancelled)
    return client.sending_by(upload_in_child(settings(tmp_path / "data"), cancelled))


def commit(hub: Hub, site: Site, folder: Path) -> str:
    return hub.commit(REPO, folder, FILES, message="first", parent=site.client().head(REPO))


def uploading() -> dict[int, bytes]:
    """The children that upload now: by process id, what anybody may read of them."""
    told = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    found = {int(word): shown(int(word)) for word in told.stdout.split()}
    return {pid: text for pid, text in found.items() if b"child_main" in text}


def shown(pid: int) -> bytes:
    try:
        return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return b""


def test_the_files_arrive_and_the_answer_is_the_commit(site: Site, folder: Path, tmp_path: Path) -> None:
    made = commit(hub_of(site, tmp_path, threading.Event()), site, folder)
    assert made == site.client().head(REPO)
    assert site.differing(REPO, folder) == []


@pytest.mark.parametrize(("mode", "weights"), [("xet", "/v1/xorbs/"), ("lfs", "^/lfs/")])
def test_a_cancelled_upload_ends_and_nothing_of_it_arrives_afterwards(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, weights: str
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_XET", str(int(mode == "lfs")))
    cancelled, ended = threading.Event(), list[float]()
    site.faults.trickle("*", weights, pause=1, times=99)

    def cancel_when_begun() -> None:
        while not any(one.received for one in site.faults.exchanges("*", weights)):
            time.sleep(0.05)
        ended.append(time.monotonic())
        cancelled.set()

    threading.Thread(target=cancel_when_begun).start()
    before = site.client().head(REPO)
    with pytest.raises(Interrupted):
        commit(hub_of(site, tmp_path, cancelled), site, folder)
    while uploading():
        time.sleep(0.05)
    assert time.monotonic() - ended[0] < 6
    site.faults.clear()
    asked = len(site.faults.exchanges())
    time.sleep(1)
    assert len(site.faults.exchanges()) == asked
    assert site.client().head(REPO) == before


def test_a_child_that_is_killed_is_an_outage_and_the_next_try_sends_the_files(
    site: Site, folder: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.extend(uploading())
        for pid in killed:
            os.kill(pid, 9)

    site.faults.reset("POST", "/preupload/", meanwhile=kill)
    made = commit(hub_of(site, tmp_path, threading.Event()), site, folder)
    assert len(killed) == 1
    assert made == site.client().head(REPO)
    assert site.api().list_repo_commits(REPO)[0].title == "first"
    assert site.differing(REPO, folder) == []


def test_the_token_is_on_no_command_line_in_no_environment_and_in_no_log(
    site: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER)
    told: list[bytes] = []
    site.faults.reset("POST", "/preupload/", meanwhile=lambda: told.extend(uploading().values()))
    with caplog.at_level(logging.DEBUG):
        commit(hub_of(site, tmp_path, threading.Event()), site, folder)
    assert told
    assert not any(OWNER.encode() in one for one in told)
    assert OWNER not in caplog.text
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not any(OWNER.encode() in path.read_bytes() for path in left)
    upload = Upload(
        endpoint="", token=OWNER, repo_id=REPO, folder="", names=(), deleted=(), message="", parent="", seconds=1
    )
    assert OWNER not in repr(upload)


def test_what_the_hub_says_crosses_the_process_boundary(site: Site, folder: Path, tmp_path: Path) -> None:
    site.faults.fail("POST", "/commit/", status=403, body={"error": "Your storage quota is used up"}, times=9)
    with pytest.raises(TokenRejected, match="Your storage quota is used up"):
        commit(hub_of(site, tmp_path, threading.Event()), site, folder)
    site.faults.clear()
    site.faults.fail("POST", "/commit/", status=503, times=99)
    with pytest.raises(HubUnavailable, match="503"):
        commit(hub_of(site, tmp_path, threading.Event()), site, folder)
    site.faults.clear()
    with pytest.raises(Exception, match="no such repo"):
        commit(hub_of(site, tmp_path, threading.Event(), STRANGER), site, folder)


def test_a_child_reaches_the_hub_as_its_parent_does_and_gets_no_secret() -> None:
    given = {
        "HF_TOKEN": "hf_x", "HUGGING_FACE_HUB_TOKEN": "hf_x", "HF_HOME": "/home/me", "AWS_SECRET_KEY": "x",
        "HF_HUB_DISABLE_XET": "1", "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms", "https_proxy": "http://proxy:3128",
        "SSL_CERT_FILE": "/etc/own.pem",
    }  # fmt: skip
    assert network_of(given) == {
        "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",
        "https_proxy": "http://proxy:3128", "SSL_CERT_FILE": "/etc/own.pem",
    }  # fmt: skip
