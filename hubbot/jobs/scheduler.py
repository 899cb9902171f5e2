"""The scheduler: calls functions by the clock; the only module that uses apscheduler.

A call that fails is logged in one line and made again at its next time.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from apscheduler.schedulers.background import BackgroundScheduler

from hubbot.store.queue import Clock

logger = logging.getLogger(__name__)
WAKE_SECONDS = 2.0


class Scheduler:
    """Calls `watch` at once and every `watch_every`, `rescue` every minute, `prune` every day.

    `woken` is asked every few seconds; where it says so, the next `watch` is now.
    No two calls of the same kind overlap, and calls missed in sleep become one.
    """

    def __init__(
        self,
        *,
        watch: Callable[[], None],
        watch_every: timedelta,
        rescue: Callable[[], None],
        prune: Callable[[], None],
        clock: Clock,
        woken: Callable[[], bool] | None = None,
    ) -> None:
        self._clock = clock
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # Without a grace time a call that the machine slept through would be dropped.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._add("watch", watch, watch_every, first=clock())
        self._add("rescue", rescue, timedelta(minutes=1), first=clock() + timedelta(minutes=1))
        # Soon after the start: a machine that is restarted every day would never come to it.
        self._add("prune", prune, timedelta(days=1), first=clock() + timedelta(minutes=10))
        if woken is not None:
            self._add("wake", lambda: self._wake(woken), timedelta(seconds=WAKE_SECONDS), first=clock())

    def start(self) -> None:
        """Start the calls, in threads of their own."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop calling, and wait for the calls under way."""
        self._scheduler.shutdown(wait=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wake(self, woken: Callable[[], bool]) -> None:
        if woken():
            self._scheduler.modify_job("watch", next_run_time=self._clock())

    def _add(self, name: str, call: Callable[[], None], every: timedelta, *, first: datetime) -> None:
        self._scheduler.add_job(
            _guarded(name, call), "interval", seconds=every.total_seconds(), id=name, next_run_time=first
        )


def _guarded(name: str, call: Callable[[], None]) -> Callable[[], None]:
    def guarded() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  the schedule outlives every call
            logger.warning("%s failed: %s: %s", name, type(error).__name__, error)

    return guarded
