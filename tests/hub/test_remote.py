"""Reading parts of files over the wire: no byte more than asked for, each request counted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hubbot.errors import Gated, HubUnavailable, RepoMissing
from hubbot.hub.remote import RemoteFiles
from tests.hub.embedded import STRANGER, Site, impatient

BYTES = bytes(range(256)) * 400
FILES = {"config.json": b"{}", "model.safetensors": BYTES}


@pytest.fixture
def repo(site: Site, tmp_path: Path) -> str:
    return site.seed(FILES, tmp_path)


def test_a_repo_is_pinned_to_a_commit_with_sizes_and_hashes(site: Site, repo: str) -> None:
    files = site.client().open(repo, None)
    assert len(files.repo.revision) == 40
    sizes = {file.path: file.size for file in files.files}
    assert sizes == {"config.json": 2, "model.safetensors": len(BYTES)}
    hashed = {file.path for file in files.files if file.sha256}
    assert hashed == {"model.safetensors"}
    assert (files.gated, files.private) == (False, False)


def test_a_read_brings_exactly_the_bytes_asked_for_and_is_counted(site: Site, repo: str) -> None:
    files = site.client().open(repo, None)
    assert files.requests == 1
    site.faults.clear()
    assert files.read("model.safetensors", 1000, 1010) == BYTES[1000:1010]
    assert files.read("model.safetensors", 0, 8) == BYTES[:8]
    assert (files.requests, files.bytes_read) == (3, 18)
    assert [one.range for one in site.faults.exchanges("GET")] == ["bytes=1000-1009", "bytes=0-7"]
    assert site.faults.bytes_sent() == 18


def test_the_end_of_a_file_gives_less_and_nothing_gives_nothing(site: Site, repo: str) -> None:
    files = site.client().open(repo, None)
    assert files.read("model.safetensors", len(BYTES) - 4, len(BYTES) + 100) == BYTES[-4:]
    site.faults.clear()
    assert files.read("model.safetensors", 5, 5) == b""
    assert site.faults.count() == 0


def test_an_older_revision_is_read_as_it_was(site: Site, repo: str) -> None:
    before = site.client().open(repo, None)
    site.embedded.seed(repo, _changed(site, repo))
    after = site.client().open(repo, None)
    assert after.repo.revision != before.repo.revision
    assert before.read("config.json", 0, 100) == b"{}"
    assert site.client().open(repo, before.repo.revision).repo == before.repo


def _changed(site: Site, repo: str) -> Path:
    folder = site.embedded._root.parent / "changed" / repo
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b'{"a": 1}')
    return folder


def test_an_unavailable_hub_is_asked_again(site: Site, repo: str) -> None:
    sleeps: list[float] = []
    site.faults.fail("GET", "/api/models/", times=2)
    files = site.client(patience=impatient(sleeps)).open(repo, None)
    site.faults.fail("GET", "/resolve/", headers={"Retry-After": "3"})
    assert files.read("model.safetensors", 0, 4) == BYTES[:4]
    assert sleeps == [1.0, 2.0, 4.0]
    assert files.requests == 2


def test_a_body_that_breaks_off_is_asked_for_again_and_then_given_up(site: Site, repo: str) -> None:
    files = site.client().open(repo, None)
    site.faults.cut("GET", "/resolve/", after=100)
    assert files.read("model.safetensors", 0, 5000) == BYTES[:5000]
    site.faults.cut("GET", "/resolve/", after=100, times=99)
    with pytest.raises(HubUnavailable, match="connection"):
        files.read("model.safetensors", 0, 5000)


def test_a_missing_repo_and_a_missing_revision_are_told_apart(site: Site, repo: str) -> None:
    with pytest.raises(RepoMissing, match="no such repo"):
        site.client().open("fables/nothing-here", None)
    with pytest.raises(RepoMissing, match="no such revision"):
        site.client().open(repo, "f" * 40)
    with pytest.raises(RepoMissing, match="no such file"):
        site.client().open(repo, None).read("absent.json", 0, 10)


def test_a_gate_is_seen_before_the_first_byte_and_closed_at_it(site: Site, tmp_path: Path) -> None:
    repo = site.seed(FILES, tmp_path, gated=True)
    files = site.client(STRANGER).open(repo, None)
    assert files.gated
    with pytest.raises(Gated, match="restricted"):
        files.read("config.json", 0, 2)


def test_a_private_repo_says_so_to_those_who_see_it_and_hides_from_others(site: Site, tmp_path: Path) -> None:
    client = site.client()
    client.create_private("mlx-moe/hidden")
    assert client.open("mlx-moe/hidden", None).private
    with pytest.raises(RepoMissing):
        site.client(STRANGER).open("mlx-moe/hidden", None)


# A server that does as it likes with ranges, which the embedded Hub does not.


@contextmanager
def unruly(manner: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/"):
                self._send(200, b'{"id": "a/b", "sha": "%s", "siblings": []}' % (b"c" * 40), len)
            elif manner == "ignores ranges":
                self._send(200, BYTES, len)
            elif manner == "sends more":
                self._send(206, BYTES[1000:], len)
            else:
                self._send(206, BYTES[1000:1005], lambda body: len(body) + 5)

        def _send(self, status: int, body: bytes, length: object) -> None:
            assert callable(length)
            self.send_response(status)
            self.send_header("Content-Length", str(length(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # the reader had enough

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("manner", ["ignores ranges", "sends more"])
def test_a_server_that_ignores_the_range_cannot_shift_or_grow_the_answer(manner: str) -> None:
    with unruly(manner) as url:
        files = RemoteFiles(HfApi(endpoint=url), "a/b", None, impatient())
        assert files.read("x", 1000, 1010) == BYTES[1000:1010]
        assert files.bytes_read == 10


@pytest.mark.usefixtures("site")
def test_a_server_that_closes_early_is_unavailable() -> None:
    with unruly("closes early") as url:
        files = RemoteFiles(HfApi(endpoint=url), "a/b", None, impatient())
        with pytest.raises(HubUnavailable):
            files.read("x", 1000, 1010)
