"""A Hub that accepts and does not answer is told from one that is slow, and nobody waits for it for ever."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hubbot.checkpoints import FileInfo, Repo
from hubbot.deadlines import Interrupted
from hubbot.errors import HubUnavailable
from hubbot.hub import time_limits
from hubbot.hub.client import Hub
from hubbot.hub.retries import Patience
from tests.hub.embedded import OWNER, calm
from tests.hub.silent import HEAD, server

FILE = FileInfo(path="config.json", size=9, sha256=None)


def every_call(hub: Hub, folder: Path) -> dict[str, Callable[[], object]]:
    (folder / "config.json").write_bytes(b"{}")
    repo = Repo(id="a/b", revision="a" * 40)
    return {
        "whoami": hub.whoami,
        "open": lambda: hub.open("a/b", None),
        "listing": lambda: list(hub.listing(author=None, search=None, tags=(), until=None)),
        "fetch": lambda: hub.fetch(repo, [FILE], folder / "fetched", lambda *_: None),
        "state": lambda: hub.state("a/b"),
        "create": lambda: hub.create_private("a/b"),
        "settings": lambda: hub.set_private("a/b", private=True),
        "head": lambda: hub.head("a/b"),
        "commit": lambda: hub.commit("a/b", folder, ["config.json"], message="m", parent="a" * 40),
        "tag": lambda: hub.tag("a/b", "t", "m", "c"),
        "collect": lambda: hub.collect("t", "a", "a/b"),
    }


CALLS = [
    "whoami", "open", "listing", "fetch", "state", "create", "settings", "head", "commit", "tag", "collect",
]  # fmt: skip


# Before the others, whose calls that were left behind close the client's shared session when they fail.


def test_a_body_that_trickles_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm(monkeypatch, tmp_path)
    monkeypatch.setattr(time_limits, "WINDOW_SECONDS", 0.5)
    with server((HEAD + b"\r\n",), trickle=b" ") as url:
        hub = Hub(endpoint=url, token=OWNER, patience=Patience(attempts=1))
        with pytest.raises(HubUnavailable, match="bytes came in"):
            hub.whoami()


def test_a_head_that_trickles_ends_when_the_call_has_taken_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm(monkeypatch, tmp_path)
    with server((HEAD,), trickle=b"X-A: b\r\n") as url:
        hub = Hub(endpoint=url, token=OWNER, patience=Patience(attempts=1, call_seconds=0.5))
        with pytest.raises(HubUnavailable, match="no answer within"):
            hub.whoami()


def test_a_pause_between_two_tries_ends_when_the_work_is_stopped() -> None:
    cancelled = threading.Event()
    threading.Timer(0.1, cancelled.set).start()

    def down() -> None:
        raise HubUnavailable("down")

    with pytest.raises(Interrupted):
        Patience(first_wait=60, cancelled=cancelled).ask("a/b", down)


@pytest.mark.parametrize("name", CALLS)
def test_no_call_waits_for_a_hub_that_accepts_and_never_answers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm(monkeypatch, tmp_path)
    monkeypatch.setitem(time_limits.LIMITS, "read", 0.2)
    # A download's own tries take minutes: the limit of the whole call ends it.
    monkeypatch.setattr("hubbot.hub.client.TRANSFER_SECONDS", 2.0)
    with server(()) as url:
        hub = Hub(endpoint=url, token=OWNER, patience=Patience(attempts=1, call_seconds=20))
        begun = time.monotonic()
        with pytest.raises(HubUnavailable):
            every_call(hub, tmp_path)[name]()
        assert time.monotonic() - begun < 15


@pytest.mark.parametrize("name", CALLS)
def test_stopping_ends_every_call_within_a_second(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm(monkeypatch, tmp_path)
    cancelled = threading.Event()
    with server(()) as url:
        hub = Hub(endpoint=url, token=OWNER, patience=Patience()).until(cancelled)
        threading.Timer(0.2, cancelled.set).start()
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            every_call(hub, tmp_path)[name]()
        assert time.monotonic() - begun < 1.5
