"""What a Hub may write into its listing: each entry counts for itself, pages end, answers are bounded."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from hubbot.errors import HubbotError, HubRefused, HubUnavailable
from hubbot.hub import answer_limits
from hubbot.hub.client import Hub
from hubbot.hub.model_lists import LARGEST_COUNT, Listed, read_entry
from hubbot.hub.retries import Patience
from hubbot.settings import WatchRule
from hubbot.steps.watch import refuse
from tests.hub.embedded import calm

GOOD: dict[str, Any] = {
    "_id": "x", "id": "fables/Fox", "sha": "a" * 40, "lastModified": "2026-05-08T12:00:00.000Z", "tags": ["moe"],
    "likes": 3, "downloads": 9, "trendingScore": 1,
}  # fmt: skip


@contextmanager
def hub_that_answers(body: bytes, headers: Mapping[str, str]) -> Iterator[tuple[Hub, list[str]]]:
    """Yield a client of a Hub that answers everything with `body`; {url} in a header is that of the request."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                url = f"http://127.0.0.1:{server.server_port}{self.path}"
                self.send_header(name, value.replace("{url}", url).replace("{number}", str(len(asked))))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield Hub(endpoint=url, token="hf_x", patience=Patience(attempts=1, call_seconds=20)), asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calm(monkeypatch, tmp_path)


def listed(body: object, headers: Mapping[str, str] | None = None, most: int = 50) -> list[Listed]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with hub_that_answers(data, headers or {}) as (hub, _):
        return list(islice(hub.listing(author=None, search=None, tags=(), until=None), most))


NO_REPOS: list[object] = [
    {**GOOD, "lastModified": "soon"},
    {**GOOD, "lastModified": 5},
    {**GOOD, "lastModified": None},
    {**GOOD, "id": "o\x1b[31m/r\n"},
    {**GOOD, "id": "../../etc"},
    {**GOOD, "id": "a/b/c"},
    {**GOOD, "id": ["fables/Fox"]},
    {**GOOD, "id": "a" * 300},
    {**GOOD, "sha": "main"},
    {**GOOD, "sha": 7},
    {},
    [],
    "fables/Fox",
    None,
]


@pytest.mark.parametrize("entry", NO_REPOS, ids=range(len(NO_REPOS)))
def test_an_entry_that_is_no_repo_hides_no_other(entry: object) -> None:
    other = {**GOOD, "id": "fables/Owl"}
    assert [repo.id for repo in listed([GOOD, entry, other])] == ["fables/Fox", "fables/Owl"]


@pytest.mark.parametrize("told", ["many", "9" * 400, -5, True, None, [], {}, 1e300, float("inf"), 10**30])
def test_a_count_that_is_none_is_nought(told: object) -> None:
    found = read_entry({**GOOD, "likes": told, "downloads": told, "trendingScore": told, "usedStorage": told})
    assert found is not None
    assert {found.likes, found.downloads, found.trending} == {0}
    assert found.nbytes in {0, None}
    assert refuse(WatchRule(name="r", max_gigabytes=1), found, ()) is None


def test_counts_and_tags_are_read_as_they_are() -> None:
    found = read_entry({**GOOD, "tags": ["moe", 5, None, "license:mit"], "usedStorage": 7, "likes": LARGEST_COUNT})
    assert found is not None
    assert (found.tags, found.licences, found.nbytes) == (("moe", "license:mit"), ("mit",), 7)
    assert found.likes == LARGEST_COUNT


@pytest.mark.parametrize("field", ["tags", "cardData", "config"])
@pytest.mark.parametrize("told", ["text", 5, ["x"], {"license": {"a": [1]}}, {"model_type": ["x"]}, None, True])
def test_a_field_of_another_kind_is_as_good_as_none(field: str, told: object) -> None:
    found = read_entry({**GOOD, field: told})
    assert found is not None
    assert found.id == "fables/Fox"


def test_a_page_that_leads_to_itself_ends_the_listing() -> None:
    with hub_that_answers(json.dumps([GOOD]).encode(), {"Link": '<{url}>; rel="next"'}) as (hub, asked):
        with pytest.raises(HubRefused, match="does not end"):
            list(hub.listing(author=None, search=None, tags=(), until=None))
        assert len(asked) <= 2


def test_a_listing_does_not_go_on_at_another_host() -> None:
    with pytest.raises(HubRefused, match="another host"):
        listed([GOOD], {"Link": '<http://169.254.169.254/latest>; rel="next"'})


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"", b'{"error": 1}', b"\xff\xfe", b"null", b'"text"'])
def test_an_answer_that_is_no_list_is_no_fault_of_hubbots(body: bytes) -> None:
    with pytest.raises(HubUnavailable, match="listing"):
        listed(body)


def test_an_answer_that_unpacks_to_more_than_is_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_limits, "MOST_BYTES", 1 << 20)
    packed = gzip.compress(b"[" + b" " * (8 << 20) + b"]", 9)
    with pytest.raises(HubbotError, match="more than 1 MB"):
        listed(packed, {"Content-Encoding": "gzip"})
    with pytest.raises(HubbotError, match="more than 1 MB"):
        listed(b"[" + b" " * (2 << 20) + b"]")


def test_an_answer_that_is_packed_well_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(listed(gzip.compress(json.dumps([GOOD]).encode()), {"Content-Encoding": "gzip"})) == 1


@pytest.mark.parametrize(("encoding", "words"), [("br", "nobody asked for"), ("gzip", "cannot be unpacked")])
def test_a_packing_that_is_none_is_refused(encoding: str, words: str) -> None:
    with pytest.raises(HubbotError, match=words):
        listed([GOOD], {"Content-Encoding": encoding})
