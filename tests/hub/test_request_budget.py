"""Requests are taken from one budget for all processes; who watches leaves a share to those who publish."""

import json
from pathlib import Path

import pytest

from hubbot.errors import RateLimited
from hubbot.hub.request_budget import RequestBudget
from hubbot.hub.retries import Patience
from tests.hub.embedded import LFS_WARNING, OWNER, Site

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
