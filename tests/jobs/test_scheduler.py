"""What runs by the clock runs, whatever it runs into."""

import logging
import threading
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
        Scheduler(watch=watch, watch_every=timedelta(seconds=0.2), rescue=nothing, prune=nothing, clock=now),
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
    with Scheduler(watch=watch, watch_every=every, rescue=nothing, prune=nothing, clock=now):
        threading.Event().wait(0.7)
    assert 2 <= len(most) <= 4
    assert all(most)


def test_rescue_comes_every_minute_and_prune_every_day() -> None:
    scheduler = Scheduler(
        watch=nothing, watch_every=timedelta(minutes=5), rescue=nothing, prune=nothing, clock=now
    )
    scheduler.start()
    jobs = {job.id: job.trigger.interval for job in scheduler._scheduler.get_jobs()}
    scheduler.stop()
    assert jobs == {"watch": timedelta(minutes=5), "rescue": timedelta(minutes=1), "prune": timedelta(days=1)}


def test_stopping_waits_for_the_call_under_way() -> None:
    begun, ended = threading.Event(), threading.Event()

    def watch() -> None:
        begun.set()
        threading.Event().wait(0.3)
        ended.set()

    with Scheduler(watch=watch, watch_every=timedelta(hours=1), rescue=nothing, prune=nothing, clock=now):
        assert begun.wait(5)
    assert ended.is_set()
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_a_watch_that_is_woken_comes_at_once() -> None:
    looked, asked = threading.Semaphore(0), iter([False, True])
    woken = lambda: next(asked, False)  # noqa: E731
    with Scheduler(
        watch=looked.release, watch_every=timedelta(hours=1), rescue=nothing, prune=nothing, woken=woken, clock=now
    ):
        assert looked.acquire(timeout=5)
        assert looked.acquire(timeout=3 * WAKE_SECONDS)
    assert not looked.acquire(blocking=False)
