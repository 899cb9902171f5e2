"""The schedule: APScheduler keeps it; a guard on the monotonic clock moves it where this machine's clock jumps.

Each call is put on the schedule when the one before it has ended, so that no two of a kind overlap and none is
made up for. A call that fails is logged in one line and made again at its next time.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

logger = logging.getLogger(__name__)
WAKE_SECONDS = 2.0


class Scheduler:
    """Calls `watch` at once and every `watch_every`, `rescue` every minute, `tell` every ten, `prune` every day.

    `woken` is asked every few seconds; where it says so, the next `watch` is now.
    """

    def __init__(
        self,
        *,
        watch: Callable[[], None],
        watch_every: timedelta,
        rescue: Callable[[], None],
        prune: Callable[[], None],
        tell: Callable[[], None] = lambda: None,
        woken: Callable[[], bool] = lambda: False,
    ) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._over = threading.Event()
        self._calls = threading.Condition()
        self._under_way = 0
        self._woken = woken
        self._correcting = threading.Lock()
        self._ahead = _ahead()
        # A call that is late by any time is still made, once.
        self._schedule = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
        self._guard = threading.Thread(target=self._keep_right, name="schedule guard", daemon=True)
        self._put("watch", watch, timedelta(0), every=watch_every)
        self._put("rescue", rescue, timedelta(minutes=1), every=timedelta(minutes=1))
        self._put("tell", tell, timedelta(minutes=1), every=timedelta(minutes=10))
        # Soon after the start: a machine that is restarted every day would never come to it.
        self._put("prune", prune, timedelta(minutes=10), every=timedelta(days=1))

    def start(self) -> None:
        """Start the calls, in threads of their own."""
        self._schedule.start()
        self._guard.start()

    def stop(self) -> None:
        """Stop calling, and wait for the calls under way."""
        with self._calls:
            self._over.set()
        self._guard.join()
        # Let its thread come to rest first: one that is stopped looks for its jobs in another place, and stumbles.
        self._schedule.pause()
        self._schedule.get_jobs()
        # While it waits, APScheduler holds the lock that a call needs to be put on the schedule again: we wait.
        self._schedule.shutdown(wait=False)
        with self._calls:
            self._calls.wait_for(lambda: not self._under_way)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _put(self, name: str, call: Callable[[], None], wait: timedelta, *, every: timedelta) -> None:
        def once() -> None:
            with self._calls:
                if self._over.is_set():
                    return
                self._under_way += 1
            try:
                _guarded(name, call)
            finally:
                with self._calls:
                    self._under_way -= 1
                    self._calls.notify_all()
            if not self._over.is_set():
                self._put(name, call, every, every=every)

        self.correct()
        self._schedule.add_job(once, "date", run_date=_now() + wait, id=name, replace_existing=True)

    def _keep_right(self) -> None:
        while not self._over.wait(WAKE_SECONDS):
            self.correct()
            # While it looks, it is not on the schedule, and the wish is kept until it is.
            if self._schedule.get_job("watch") is not None and self._woken():
                self._move("watch", _now())

    def correct(self) -> None:
        """Move what is on the schedule by as much as this machine's clock has jumped since the last time."""
        with self._correcting:
            jumped = _ahead() - self._ahead
            if abs(jumped) < WAKE_SECONDS:
                return
            self._ahead += jumped
            for job in self._schedule.get_jobs():
                self._move(job.id, job.next_run_time + timedelta(seconds=jumped))

    def _move(self, name: str, when: datetime) -> None:
        try:
            self._schedule.modify_job(name, next_run_time=when)
        except JobLookupError:
            # It has begun in between, and comes again by itself.
            return


def _now() -> datetime:
    return datetime.now(UTC)


def _ahead() -> float:
    """Return the seconds by which this machine's clock is ahead of its monotonic one."""
    return time.time() - time.monotonic()


def _guarded(name: str, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  the schedule outlives every call
        logger.warning("%s failed: %s: %s", name, type(error).__name__, error)
