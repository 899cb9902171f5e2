"""A Hub, a proxy or a hotel's portal that answers every request with 200 and anything at all."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelInfo

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import HubUnavailable, TokenRejected, WrongUsage
from hubbot.hub.answers import files_of
from hubbot.hub.client import Hub
from hubbot.hub.retries import Patience

JSON = "application/json"
SHA = "0" * 40
ANSWERS = {
    "a hotel's portal": ("text/html", b"<html><body>Welcome. Please log in.</body></html>"),
    "nothing": (JSON, b""),
    "null": (JSON, b"null"),
    "a list": (JSON, b"[]"),
    "an object": (JSON, b"{}"),
    "a string": (JSON, b'"ok"'),
    "a number": (JSON, b"7"),
    "numbers": (JSON, b"[1, 2]"),
    "other types": (JSON, b'{"id": 5, "sha": 7, "siblings": 3, "name": [], "orgs": 1, "gated": {}, "auth": 1}'),
    "other types within": (
        JSON,
        b'{"id": "a/b", "sha": "z", "siblings": [{"rfilename": 5}], "name": "me", "orgs": [1], "lastModified": 5}',
    ),
    "no numbers": (JSON, b'{"id": "a/b", "sha": NaN, "siblings": [{"rfilename": "x", "size": 1e999}]}'),
    "brackets without end": (JSON, b"[" * 100_000),
}  # fmt: skip


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    kind, body = ANSWERS[request.param]

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Hub(
            endpoint=f"http://127.0.0.1:{server.server_port}",
            token="hf_abcdefgh12345678",
            patience=Patience(attempts=1),
        )
        server.shutdown()


def calls(hub: Hub, folder: Path) -> dict[str, Callable[[], object]]:
    return {
        "whoami": hub.whoami,
        "probe": hub.probe,
        "open": lambda: hub.open("a/b", None),
        "read": lambda: hub.open("a/b", SHA).read("config.json", 0, 10),
        "state": lambda: hub.state("a/b"),
        "read_file": lambda: hub.read_file("a/b", "README.md", 1000),
        "create_private": lambda: hub.create_private("a/b"),
        "set_private": lambda: hub.set_private("a/b", private=True),
        "present_name": lambda: hub.present_name("a/b"),
        "head": lambda: hub.head("a/b"),
        "is_newer": lambda: hub.is_newer("a/b", "1" * 40, "2" * 40),
        "tag": lambda: hub.tag("a/b", "t", "m", SHA),
        "collect": lambda: hub.collect("t", "a", "a/b"),
        "fetch": lambda: hub.fetch(
            Repo(id="a/b", revision=SHA), (FileInfo(path="config.json", size=5),), folder, lambda *_: None
        ),
    }


@pytest.mark.parametrize("hub", ANSWERS, indirect=True)
def test_an_answer_that_makes_no_sense_is_an_outage_and_no_fault_of_hubbot(hub: Hub, tmp_path: Path) -> None:
    for name, call in calls(hub, tmp_path).items():
        with pytest.raises(HubUnavailable) as raised:
            call()
        assert raised.value.message, name


@pytest.mark.parametrize("size", [-5, 1.5, float("inf"), True, "7"])
def test_a_size_that_is_no_number_of_bytes_is_refused(size: object) -> None:
    told: dict[str, Any] = {"id": "a/b", "sha": SHA, "siblings": [{"rfilename": "x", "size": size, "blobId": SHA}]}
    info = ModelInfo(**told)  # type: ignore[no-untyped-call]
    with pytest.raises(HubUnavailable, match="a file's size is"):
        files_of(info)


def test_a_mistake_of_our_own_is_not_taken_for_an_outage() -> None:
    hub = Hub(endpoint="http://127.0.0.1:9", token=None, patience=Patience(attempts=1))

    def mistake() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        hub._patience.ask("a/b", mistake)


@pytest.mark.parametrize("endpoint", ["not-a-url", "http://a b", "ftp://hub", "https://"])
def test_an_address_that_is_none_is_told_at_once(endpoint: str) -> None:
    with pytest.raises(WrongUsage, match="address is none"):
        Hub(endpoint=endpoint, token=None, patience=Patience(attempts=1))


@pytest.mark.parametrize("hub", ["an object"], indirect=True)
def test_a_token_that_no_header_can_carry_is_no_outage(hub: Hub) -> None:
    hub = Hub(endpoint=hub.endpoint, token="hf_abc\u00e9\u2028", patience=Patience(attempts=1))
    with pytest.raises(TokenRejected, match="no token has"):
        hub.open("a/b", None)
