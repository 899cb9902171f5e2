"""A person is told of failures soon and of the day once a day; nothing twice, nothing lost, nothing secret."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hubbot.errors import HubbotError, UnknownLayout
from hubbot.jobs import notices
from hubbot.jobs.notices import MOST_JOBS, Notices, sender
from hubbot.jobs.pauses import pause
from hubbot.lifecycle import Published, Refused, advance
from hubbot.store.listings import Listings
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests.store.conftest import Clock

TOKEN = "hf_ATokenThatNobodyMaySee"


class Told:
    """A bot's database, its clock, and what was sent."""

    def __init__(self, engine: sa.Engine, queue: Queue, results: Results, clock: Clock) -> None:
        self.queue, self.clock, self.outages = queue, clock, Outages(engine)
        self.sent: list[Mapping[str, Any]] = []
        self.fails: Exception | None = None
        self.notices = Notices(
            send=self.send, queue=queue, listings=Listings(engine), outages=self.outages, results=results,
            clock=clock, runner="mac",
        )  # fmt: skip
        self.notices.look()
        self.clock.forward(60)

    def send(self, notice: Mapping[str, Any]) -> None:
        if self.fails is not None:
            raise self.fails
        self.sent.append(notice)

    def end(self, repo: str, error: HubbotError | None) -> None:
        self.queue.enqueue(repo, "a" * 40, ("4bit",), "4bit", requested_by="test")
        job = self.queue.claim("mac", 60)
        assert job is not None
        outcome = Published() if error is None else Refused(error=error)
        assert self.queue.apply(job, advance(job, outcome, self.clock(), lambda *_: None))

    def look(self, seconds: float = 600) -> None:
        self.clock.forward(seconds)
        self.notices.look()


@pytest.fixture
def told(engine: sa.Engine, queue: Queue, results: Results, clock: Clock) -> Told:
    return Told(engine, queue, results, clock)


def test_a_parked_job_and_an_outage_are_told_once_with_the_way_out(told: Told) -> None:
    told.end("org/odd", UnknownLayout("no row matches", hint="`hubbot layouts` lists them"))
    pause(told.outages, told.clock())
    told.look()
    told.look()
    (notice,) = told.sent
    assert notice["kind"] == "failures"
    assert "job 1 org/odd parked at inspect: no row matches -> `hubbot layouts` lists them" in notice["text"]
    assert "waiting (pause)" in notice["text"]
    assert notice["jobs"] == [{"id": 1, "repo": "org/odd", "state": "parked"}]


def test_what_cannot_be_sent_is_told_later(told: Told) -> None:
    told.end("org/odd", UnknownLayout("no row matches"))
    told.fails = ConnectionError("refused")
    told.look()
    assert told.sent == []
    told.fails = None
    told.look()
    assert len(told.sent) == 1


def test_the_day_is_told_once_a_day(told: Told) -> None:
    told.end("org/good", None)
    told.end("org/odd", UnknownLayout("no"))
    for _ in range(300):
        told.look(600)
    digests = [notice for notice in told.sent if notice["kind"] == "digest"]
    assert len(digests) == 2
    assert digests[0]["ended"] == {"published": 1, "skipped": 0, "parked": 1, "failed": 0}
    assert digests[1]["ended"] == {"published": 0, "skipped": 0, "parked": 0, "failed": 0}
    assert "published: org/good" in digests[0]["text"]
    assert digests[1]["counts"]["parked"] == 1


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_that_jumps_does_not_silence_it(told: Told, days: int) -> None:
    told.clock.now += timedelta(days=days)
    told.look()
    told.end("org/odd", UnknownLayout("no"))
    told.look()
    assert [notice["kind"] for notice in told.sent if notice["kind"] == "failures"] == ["failures"]


@pytest.mark.parametrize("minutes", [1, 60, 2 * 1440])
def test_what_fails_between_a_jump_back_of_the_clock_and_the_next_look_is_told(told: Told, minutes: int) -> None:
    told.look()
    told.clock.now -= timedelta(minutes=minutes)
    told.clock.forward(300)
    told.end("org/odd", UnknownLayout("no"))
    told.look(300)
    told.look()
    assert [notice["kind"] for notice in told.sent if notice["kind"] == "failures"] == ["failures"]


def test_two_runners_of_one_database_tell_it_once(told: Told, engine: sa.Engine) -> None:
    told.end("org/odd", UnknownLayout("no"))
    told.clock.forward(600)
    since = told.notices._since("notices:failures", told.clock())
    told.notices._tell("notices:failures", since, told.clock(), {"text": "a"})
    told.notices._tell("notices:failures", since, told.clock(), {"text": "b"})
    assert [notice["text"] for notice in told.sent] == ["a"]


def test_a_storm_of_failures_is_one_notice_and_names_from_outside_are_text(told: Told) -> None:
    for number in range(MOST_JOBS + 5):
        told.end(f"org/{number:02d}-<!channel>", UnknownLayout(f"{TOKEN}\n\x1b[2J<b>@everyone"))
    told.look()
    (notice,) = told.sent
    assert len(notice["text"].splitlines()) == MOST_JOBS + 1
    assert "and more" in notice["text"]
    for bad in ("<", "\x1b", TOKEN):
        assert bad not in notice["text"]


class Hook(http.server.BaseHTTPRequestHandler):
    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    bodies: list[dict[str, Any]] = []
    kind = type("Fresh", (Hook,), {"bodies": bodies})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
        server.shutdown()
        thread.join()


def test_a_webhook_gets_it_in_the_words_of_slack_and_discord(hook: tuple[str, list[dict[str, Any]]]) -> None:
    url, bodies = hook
    sender(f"{url}/hook", threading.Event())({"kind": "digest", "text": "all is well"})
    (body,) = bodies
    assert (body["text"], body["content"], body["allowed_mentions"]) == (
        "all is well",
        "all is well",
        {"parse": []},
    )


@pytest.mark.parametrize("place", ["/broken", ":9/"])
def test_a_webhook_that_does_not_take_it_is_an_oserror_without_its_address(
    hook: tuple[str, list[dict[str, Any]]], place: str, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{hook[0]}{place}" if place.startswith("/") else f"http://127.0.0.1{place}SECRETPATH"
    with pytest.raises(OSError, match=r".*"):
        sender(url, threading.Event())({"text": "x"})
    object.__setattr__(told.notices, "send", sender(url, threading.Event()))
    told.end("org/odd", UnknownLayout("no"))
    told.look()
    assert "could not be sent" in caplog.text
    assert "SECRETPATH" not in caplog.text


def test_a_file_gets_a_line_each(tmp_path: Path) -> None:
    send = sender(str(tmp_path / "deep" / "notices.jsonl"), threading.Event())
    send({"text": "a"})
    send({"text": "b"})
    lines = (tmp_path / "deep" / "notices.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["a", "b"]


@pytest.fixture
def silent_hook() -> Iterator[str]:
    """A webhook that takes the request and answers a byte now and then, without end."""
    over = threading.Event()

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not over.wait(0.05):
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/SECRETPATH"
        over.set()
        thread.join()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_webhook_that_never_answers_holds_nobody_up_and_is_told_later(
    silent_hook: str, stopped: bool, told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    if stopped:
        threading.Timer(0.3, stop.set).start()
    else:
        monkeypatch.setattr(notices, "POST_SECONDS", 0.3)
    object.__setattr__(told.notices, "send", sender(silent_hook, stop))
    told.end("org/odd", UnknownLayout("no"))
    begun = time.monotonic()
    told.look()
    assert time.monotonic() - begun < 3
    assert "could not be sent" in caplog.text
    assert "SECRETPATH" not in caplog.text
    object.__setattr__(told.notices, "send", told.send)
    told.look()
    assert len(told.sent) == 1
