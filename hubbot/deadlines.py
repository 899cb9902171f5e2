"""Waiting that ends: run a call in a thread of its own, and stop waiting when time is up or the work is stopped.

A thread cannot be ended from outside. What is left behind is a daemon: it never keeps the process alive.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")
LOOK_SECONDS = 0.05


class Interrupted(Exception):
    """The work was stopped because `cancelled` was set; this says nothing about the job."""


class TimeRanOut(Exception):
    """A call did not return within its time."""


def within(
    seconds: float | None, cancelled: threading.Event, call: Callable[[], Result], *, grace: float = 0.0
) -> Result:
    """Return the result of `call()`, or raise what it raises.

    Raises TimeRanOut after `seconds` (None: no limit), and Interrupted when `cancelled` is set and the call has
    not ended by itself `grace` seconds later. `call` then goes on in its thread, where nobody waits for it.
    """
    if cancelled.is_set():
        raise Interrupted("the work was stopped")
    answer: _Answer[Result] = _Answer(call)
    answer.start()
    deadline = None if seconds is None else time.monotonic() + seconds
    while not answer.wait(LOOK_SECONDS):
        if cancelled.is_set():
            if answer.wait(grace):
                break
            raise Interrupted("the work was stopped")
        if deadline is not None and time.monotonic() > deadline:
            raise TimeRanOut(f"no answer within {seconds:.0f} seconds")
    return answer.result()


class _Answer(Generic[Result]):
    """The result of a call that runs in a daemon thread."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._ended = threading.Event()
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def start(self) -> None:
        # The thread knows in whose name it works, as its caller does.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="within", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:  # noqa: BLE001  whoever waits for the call gets it
            self._error = error
        finally:
            self._ended.set()
