"""Keeps a Mac from falling asleep while the bot runs; elsewhere there is nothing to do."""

import logging
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

logger = logging.getLogger(__name__)
CAFFEINATE = "/usr/bin/caffeinate"


@contextmanager
def awake(
    system: str, pid: int, start: Callable[[Sequence[str]], "subprocess.Popen[bytes]"] = subprocess.Popen
) -> Iterator[None]:
    """Keep the machine awake while the block runs, and no longer than the process `pid` lives.

    launchd must start hubbot itself, not caffeinate around it: its SIGTERM would not reach the bot.
    """
    if system != "darwin":
        yield
        return
    try:
        # -i: the display may sleep, and a person may still send the machine to sleep.
        process = start([CAFFEINATE, "-i", "-w", str(pid)])
    except OSError as error:
        logger.warning("the machine may fall asleep: %s does not start: %s", CAFFEINATE, error.strerror)
        yield
        return
    try:
        yield
    finally:
        process.terminate()
        process.wait()
