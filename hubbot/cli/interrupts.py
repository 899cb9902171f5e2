"""Ctrl-C and SIGTERM: the first asks the work to stop where it can resume, the second stops at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hubbot.cli.output import talk


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; the second raises KeyboardInterrupt."""
    stop = threading.Event()

    def set_stop(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        talk.print("stopping; the job at hand goes back to the queue (again to stop at once)")
        stop.set()

    before = {number: signal.signal(number, set_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
