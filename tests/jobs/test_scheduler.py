"""What runs by the clock runs, whatever it runs into."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta, tzinfo

import apscheduler.executors.base
import apscheduler.schedulers.base
import pytest

from hubbot.jobs import scheduler as scheduler_module
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


def test_rescue_comes_after_a_minute_and_prune_after_ten() -> None:
    before = now()
    scheduler = Scheduler(watch=nothing, watch_every=timedelta(minutes=5), rescue=nothing, prune=nothing)
    waits = {job.id: (job.trigger.run_date - before).total_seconds() for job in scheduler._schedule.get_jobs()}
    assert waits == pytest.approx({"watch": 0, "rescue": 60, "tell": 60, "prune": 600}, abs=5)


def test_each_call_is_put_on_the_schedule_again_when_it_has_ended() -> None:
    called = threading.Event()
    with Scheduler(watch=called.set, watch_every=timedelta(hours=1), rescue=nothing, prune=nothing) as scheduler:
        assert called.wait(5)
        while (again := scheduler._schedule.get_job("watch")) is None:
            threading.Event().wait(0.01)
        assert (again.next_run_time - now()).total_seconds() == pytest.approx(3600, abs=5)


class MovedClock:
    """This machine's clock, which jumps for the schedule and for APScheduler; the monotonic one does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moved = moved = [0.0]
        real = time.time

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Moved":
                return cls.fromtimestamp(real() + moved[0], tz)

        monkeypatch.setattr(time, "time", lambda: real() + moved[0])
        for module in (scheduler_module, apscheduler.schedulers.base, apscheduler.executors.base):
            monkeypatch.setattr(module, "datetime", Moved)

    def jump(self, days: float) -> None:
        self.moved[0] += days * 86400


@pytest.mark.parametrize("days", [-2, 2, -365])
def test_a_clock_that_jumps_loses_no_call_and_repeats_none(days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "WAKE_SECONDS", 0.05)
    clock, calls, fourth = MovedClock(monkeypatch), [], threading.Event()

    def watch() -> None:
        calls.append(1)
        if len(calls) == 1:
            clock.jump(days)
        if len(calls) == 4:
            fourth.set()

    with Scheduler(watch=watch, watch_every=timedelta(seconds=0.1), rescue=nothing, prune=nothing):
        assert fourth.wait(5)
    assert len(calls) < 8


def test_it_stops_while_a_call_that_has_just_ended_is_put_on_the_schedule_again() -> None:
    looked, stopped = threading.Event(), threading.Event()
    scheduler = Scheduler(watch=looked.set, watch_every=timedelta(hours=1), rescue=nothing, prune=nothing)

    def stop() -> None:
        scheduler.stop()
        stopped.set()

    with scheduler._correcting:  # the call comes this far on its way back
        scheduler.start()
        assert looked.wait(5)
        time.sleep(0.1)
        threading.Thread(target=stop, daemon=True).start()
        time.sleep(0.2)
    assert stopped.wait(5), "it stands still"


def test_it_waits_for_a_call_under_way_and_begins_none_after_it() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def watch() -> None:
        begun.set()
        may_end.wait(5)
        ended.set()

    scheduler = Scheduler(watch=watch, watch_every=timedelta(0), rescue=nothing, prune=nothing)
    scheduler.start()
    assert begun.wait(5)
    threading.Timer(0.3, may_end.set).start()
    scheduler.stop()
    assert ended.is_set()
    begun.clear()
    assert not begun.wait(0.3)


@pytest.mark.parametrize("days", [-2, 2])
def test_what_is_on_the_schedule_moves_with_the_clock(days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, called = MovedClock(monkeypatch), threading.Event()
    with Scheduler(
        watch=nothing, watch_every=timedelta(hours=1), rescue=called.set, prune=called.set
    ) as scheduler:
        before = scheduler._schedule.get_job("prune").next_run_time
        clock.jump(days)
        scheduler.correct()
        moved = scheduler._schedule.get_job("prune").next_run_time - before
    assert moved.total_seconds() == pytest.approx(days * 86400, abs=1)


def test_a_watch_that_is_woken_comes_at_once() -> None:
    looked, asked = threading.Semaphore(0), iter([False, True])
    with Scheduler(
        watch=looked.release, watch_every=timedelta(hours=1), rescue=nothing, prune=nothing,
        woken=lambda: next(asked, False),
    ):  # fmt: skip
        assert looked.acquire(timeout=5)
        assert looked.acquire(timeout=3 * WAKE_SECONDS)
    assert not looked.acquire(blocking=False)
