"""The schedule: calls functions again and again, by the monotonic clock, which no correction of the time moves.

A call that fails is logged in one line and made again at its next time. No two calls of the same kind overlap.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)
WAKE_SECONDS = 2.0


class Scheduler:
    """Calls `watch` at once and every `watch_every`, `rescue` every minute, `prune` every day.

    `woken` is asked every few seconds; where it says so, the next `watch` is now.
    """

    def __init__(
        self,
        *,
        watch: Callable[[], None],
        watch_every: timedelta,
        rescue: Callable[[], None],
        prune: Callable[[], None],
        woken: Callable[[], bool] | None = None,
    ) -> None:
        self._over = threading.Event()
        self._threads = [
            self._thread("watch", watch, first=timedelta(0), every=watch_every, woken=woken),
            self._thread("rescue", rescue, first=timedelta(minutes=1), every=timedelta(minutes=1)),
            # Soon after the start: a machine that is restarted every day would never come to it.
            self._thread("prune", prune, first=timedelta(minutes=10), every=timedelta(days=1)),
        ]

    def start(self) -> None:
        """Start the calls, in threads of their own."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop calling, and wait for the calls under way."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _thread(
        self,
        name: str,
        call: Callable[[], None],
        *,
        first: timedelta,
        every: timedelta,
        woken: Callable[[], bool] | None = None,
    ) -> threading.Thread:
        def repeat() -> None:
            pause = first
            while not self._over_in(pause.total_seconds(), woken):
                _guarded(name, call)
                pause = every

        return threading.Thread(target=repeat, name=name, daemon=True)

    def _over_in(self, seconds: float, woken: Callable[[], bool] | None) -> bool:
        """Wait `seconds`, or until `woken` says so; return whether the schedule was stopped meanwhile."""
        if woken is None:
            return self._over.wait(seconds)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._over.wait(min(left, WAKE_SECONDS)):
                return True
            if woken():
                return False
        return self._over.is_set()


def _guarded(name: str, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  the schedule outlives every call
        logger.warning("%s failed: %s: %s", name, type(error).__name__, error)
