"""Requests are taken from one budget for all processes; who watches leaves a share to those who publish."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hubbot.deadlines import Interrupted
from hubbot.errors import RateLimited
from hubbot.hub.client import Hub
from hubbot.hub.request_budget import RequestBudget
from hubbot.hub.retries import Patience
from tests.hub.embedded import LFS_WARNING, OWNER, Site, calm

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
API = "https://hub.example/api/models"
FILE = "https://hub.example/a/b/resolve/main/x"
POLICY = {"ratelimit-policy": '"fixed window";"api";q=1000;w=300'}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def told(left: int, seconds: int = 100) -> dict[str, str]:
    return {"ratelimit": f'"api";r={left};t={seconds}', **POLICY}


def test_nothing_is_waited_for_while_a_hub_tells_no_limits(clock: Clock) -> None:
    budget = RequestBudget(None, clock)
    budget.note(API, 200, {})
    assert budget.wait(API, 0.5) == 0.0


def test_who_watches_slows_down_and_stops_where_the_others_share_begins(tmp_path: Path, clock: Clock) -> None:
    watching, publishing = (RequestBudget(tmp_path / "budget.json", clock) for _ in range(2))
    watching.note(API, 200, told(900))
    assert watching.wait(API, 0.5) == 0.0
    watching.note(API, 200, told(600))
    assert 0 < watching.wait(API, 0.5) < 2
    watching.note(API, 200, told(500))
    assert watching.wait(API, 0.5) == 101.0
    # Another process of the same folder knows it at once, and may take what is left.
    assert publishing.wait(API, 0.5) == 101.0
    assert publishing.wait(API, 0.0) == 0.0
    publishing.note(API, 200, told(0))
    assert publishing.wait(API, 0.0) == 101.0


def test_the_api_and_the_files_are_counted_apart(clock: Clock) -> None:
    budget = RequestBudget(None, clock)
    budget.note(API, 200, told(0))
    assert (budget.wait(API, 0.0), budget.wait(FILE, 0.0)) == (101.0, 0.0)


def test_a_window_that_is_over_holds_nobody_and_a_clock_that_jumped_is_not_believed(clock: Clock) -> None:
    budget = RequestBudget(None, clock)
    budget.note(API, 200, told(0))
    clock.now += 101
    assert budget.wait(API, 0.0) == 0.0
    budget.note(API, 200, told(0))
    clock.now -= 2 * 86400
    assert budget.wait(API, 0.0) == 0.0
    clock.now += 4 * 86400
    assert budget.wait(API, 0.0) == 0.0


def test_a_refusal_without_numbers_counts_as_an_empty_quota(clock: Clock) -> None:
    budget = RequestBudget(None, clock)
    budget.note(API, 429, {"retry-after": "30"})
    assert budget.wait(API, 0.0) == 32.0


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"a": 1}', b'{"a": {"left": "x"}}', b"\xff\xfe", b"[" * 60_000, b"{}" * 70_000],
)
def test_a_file_that_is_no_budget_is_none(content: bytes, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "budget.json").write_bytes(content)
    budget = RequestBudget(tmp_path / "budget.json", clock)
    assert budget.wait(API, 0.5) == 0.0
    budget.note(API, 200, told(0))
    assert json.loads((tmp_path / "budget.json").read_text())


def test_a_folder_that_is_gone_costs_the_sharing_and_no_request(tmp_path: Path, clock: Clock) -> None:
    budget = RequestBudget(tmp_path / "gone" / "budget.json", clock)
    budget.note(API, 200, told(0))
    assert budget.wait(API, 0.0) == 101.0


def test_a_client_stops_before_the_hub_refuses_it(site: Site, tmp_path: Path, clock: Clock) -> None:
    site.faults.tell_quota(3, window=300)
    try:
        budget = RequestBudget(tmp_path / "budget.json", clock)
        hub = site.client(OWNER, patience=Patience(attempts=1, budget=budget, sleep=lambda _: None))
        before = site.faults.count()
        for _ in range(3):
            hub.whoami()
        with pytest.raises(RateLimited, match="used up") as refused:
            hub.whoami()
        assert refused.value.after_seconds == 301.0
        assert site.faults.count() == before + 3
        assert [one.status for one in site.faults.exchanges()[before:]] == [200, 200, 200]
        clock.now += 301
        site.faults.tell_quota(3, window=300)
        hub.whoami()
    finally:
        site.faults.tell_quota(None)


class Library:
    """A Hub whose listing has `pages` of one repo each, and that answers `quota` requests in a window."""

    def __init__(self, clock: Clock, pages: int, quota: int, window: int) -> None:
        self.clock, self.pages, self.quota, self.window = clock, pages, quota, window
        self.left, self.until = quota, clock.now + window
        self.asked: list[int] = []
        self.refused = 0
        self.waited: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.clock.now += seconds

    def answer(self, page: int) -> tuple[int, dict[str, str], list[dict[str, Any]]]:
        if self.clock.now >= self.until:
            self.left, self.until = self.quota, self.clock.now + self.window
        seconds = round(self.until - self.clock.now)
        self.asked.append(page)
        self.refused += not self.left
        status, self.left = (200, self.left - 1) if self.left else (429, 0)
        headers = {
            "RateLimit": f'"api";r={self.left};t={seconds}',
            "RateLimit-Policy": f'"fixed window";"api";q={self.quota};w={self.window}',
        }
        changed = f"2026-05-08T12:{59 - page:02}:00.000Z"
        return status, headers, [{"id": f"fables/Elk-{page}", "sha": f"{page:040x}", "lastModified": changed}]


@contextmanager
def open_library(library: Library, **patience: Any) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            page = int(self.path.partition("page=")[2] or 0)
            status, headers, entries = library.answer(page)
            body = json.dumps(entries).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if page + 1 < library.pages:
                self.send_header("Link", f'<{address}/api/models?page={page + 1}>; rel="next"')
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        budget = RequestBudget(None, library.clock)
        yield Hub(endpoint=address, token="hf_x", patience=Patience(budget=budget, **patience))
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize(("quota", "window"), [(1, 300), (2, 300), (5, 300), (6, 3600), (10, 30)])
def test_a_listing_goes_on_where_it_stood_however_short_the_quota_is(
    clock: Clock, quota: int, window: int, share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calm(monkeypatch, tmp_path)
    library = Library(clock, pages=12, quota=quota, window=window)
    with open_library(library, sleep=library.sleep) as hub:
        found = [one.id for one in hub.sparing(share).listing(author=None, search=None, tags=(), until=None)]
    assert found == [f"fables/Elk-{page}" for page in range(12)]
    assert library.asked == list(range(12)), "each page is asked for once"
    assert library.refused == 0
    # Not much longer than the windows that it takes.
    assert sum(library.waited) <= (window + 2) * -(-12 // max(1, int(quota * (1 - share))))


def test_a_listing_that_waits_for_its_window_ends_when_it_is_stopped(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calm(monkeypatch, tmp_path)
    library = Library(clock, pages=12, quota=4, window=300)
    stop = threading.Event()
    with open_library(library, cancelled=stop) as hub:
        pages = hub.listing(author=None, search=None, tags=(), until=None)
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Interrupted):
            list(pages)
    assert library.asked == [0, 1, 2, 3]


def test_a_hub_that_never_grants_a_page_ends_the_listing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calm(monkeypatch, tmp_path)
    library = Library(clock, pages=12, quota=0, window=700)
    with open_library(library, sleep=library.sleep) as hub, pytest.raises(RateLimited):
        list(hub.listing(author=None, search=None, tags=(), until=None))
    assert sum(library.waited) <= 3600 + 700
