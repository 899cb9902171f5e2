"""What runs by the clock runs, whatever it runs into."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from hubbot.jobs.scheduler import WAKE_SECONDS, Scheduler


def nothing() -> None:
    return None


def now() -> datetime:
    return datetime.now(UTC)


def test_watching_begins_at_once_and_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    calls, third = [], threading.Event()

    def watch() -> None:
        calls.append(now())
        if len(calls) == 3:
            third.set()
        raise ConnectionError("the Hub is away")

    with (
        caplog.at_level(logging.WARNING, "hubbot"),
        Scheduler(watch=watch, watch_every=timedelta(seconds=0.2), rescue=nothing, prune=nothing),
    ):
        assert third.wait(5)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("hubbot")]
    assert messages[0] == "watch failed: ConnectionError: the Hub is away"
    assert all(record.exc_info is None for record in caplog.records)


def test_a_slow_watch_is_never_called_twice_at_once() -> None:
    gate, most = threading.Semaphore(1), []

    def watch() -> None:
        most.append(gate.acquire(blocking=False))
        threading.Event().wait(0.25)
        gate.release()

    every = timedelta(seconds=0.05)
    with Scheduler(watch=watch, watch_every=every, rescue=nothing, prune=nothing):
        threading.Event().wait(0.7)
    assert 2 <= len(most) <= 4
    assert all(most)


def test_rescue_comes_after_a_minute_and_prune_after_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(watch=nothing, watch_every=timedelta(minutes=5), rescue=nothing, prune=nothing)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) % 2 == 0

    monkeypatch.setattr(scheduler._over, "wait", wait)
    for thread in scheduler._threads:
        thread.run()
    assert waits == [0.0, 300.0, 60.0, 60.0, 600.0, 86400.0]


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_that_jumps_moves_no_call(days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, jumped, calls, fourth = time.time, threading.Event(), [], threading.Event()

    def watch() -> None:
        calls.append(1)
        jumped.set()
        if len(calls) == 4:
            fourth.set()

    monkeypatch.setattr(time, "time", lambda: real() + (days * 86400 if jumped.is_set() else 0))
    with Scheduler(watch=watch, watch_every=timedelta(seconds=0.05), rescue=nothing, prune=nothing):
        assert fourth.wait(5)
    assert len(calls) < 50


def test_a_watch_that_is_woken_comes_at_once() -> None:
    looked, asked = threading.Semaphore(0), iter([False, True])
    with Scheduler(
        watch=looked.release, watch_every=timedelta(hours=1), rescue=nothing, prune=nothing,
        woken=lambda: next(asked, False),
    ):  # fmt: skip
        assert looked.acquire(timeout=5)
        assert looked.acquire(timeout=3 * WAKE_SECONDS)
    assert not looked.acquire(blocking=False)
