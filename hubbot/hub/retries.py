"""Retry for Hub calls that the client does not retry itself (model_info, create_repo, create_commit and others).

It repeats only what raised TryLater, and gives up with that error when the attempts are used up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hubbot.errors import OutOfRoom, TryLater
from hubbot.hub.failures import translated

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often to ask again, and how long to wait at most, in seconds."""

    attempts: int = 4
    first_wait: float = 1.0
    longest_wait: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def ask(self, where: str, call: Callable[[], Result]) -> Result:
        """Return `call()`'s result, repeating it while it raises HubUnavailable or RateLimited.

        Raises that error when the attempts are used up or the pause is too long, any other error at once.
        """
        wait = self.first_wait
        for attempt in range(1, self.attempts + 1):
            try:
                with translated(where):
                    return call()
            except OutOfRoom:
                raise
            except TryLater as error:
                asked = error.after_seconds or wait
                if attempt == self.attempts or asked > self.longest_wait:
                    raise
                self.sleep(asked)
                wait = min(2 * wait, self.longest_wait)
        raise AssertionError("unreachable: the last attempt returns or raises")
