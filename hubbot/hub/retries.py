"""Retry for Hub calls that the client does not retry itself (model_info, create_repo, create_commit and others).

It repeats only what raised TryLater, and gives up with that error when the attempts are used up.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hubbot.deadlines import Interrupted, TimeRanOut, within
from hubbot.errors import HubUnavailable, OutOfRoom, RateLimited, TryLater
from hubbot.hub.failures import translated
from hubbot.hub.rate_limits import LONGEST_WINDOW_SECONDS
from hubbot.hub.request_budget import RequestBudget, Spending, spending

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often to ask again, and how long to wait at most, in seconds.

    `call_seconds` bounds one try of one call; `cancelled` ends every wait. Requests are taken from `budget`, of
    whose quota the part `share` (0 to 1) is left to others.
    """

    attempts: int = 4
    first_wait: float = 1.0
    longest_wait: float = 60.0
    call_seconds: float = 180.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    sleep: Callable[[float], None] | None = None
    budget: RequestBudget | None = None
    share: float = 0.0

    def ask(self, where: str, call: Callable[[], Result], *, seconds: float | None = None) -> Result:
        """Return `call()`'s result, repeating it while it raises HubUnavailable or RateLimited.

        Raises that error when the attempts are used up or the pause is too long, any other error at once, and
        Interrupted when `cancelled` is set. A try that takes longer than `seconds` (default `call_seconds`) has
        failed with HubUnavailable.
        """
        wait = self.first_wait
        for attempt in range(1, self.attempts + 1):
            try:
                with translated(where), spending(self._spending):
                    return self._once(where, call, seconds or self.call_seconds)
            except OutOfRoom:
                raise
            except TryLater as error:
                asked = error.after_seconds or wait
                if attempt == self.attempts or asked > self.longest_wait:
                    raise
                self._pause(asked)
                wait = min(2 * wait, self.longest_wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def ask_in_turn(self, where: str, call: Callable[[], Result]) -> Result:
        """Return what `ask` does, but wait for the end of the quota's window where there is no request left.

        For a work of many requests that would begin anew: it goes on however small the quota is. Raises
        RateLimited where the pauses before this one request are together longer than any window is.
        """
        waited = 0.0
        while True:
            try:
                return self.ask(where, call)
            except RateLimited as error:
                pause = error.after_seconds
                if pause is None or waited + pause > LONGEST_WINDOW_SECONDS + 1:
                    raise
                logger.info("%s: waits for %.0f s and goes on then: %s", where, pause, error)
                self._pause(pause)
                waited += pause

    @property
    def _spending(self) -> Spending | None:
        if self.budget is None:
            return None
        return Spending(budget=self.budget, share=self.share, sleep=self._pause)

    def _once(self, where: str, call: Callable[[], Result], seconds: float) -> Result:
        try:
            return within(seconds, self.cancelled, call)
        except TimeRanOut as error:
            raise HubUnavailable(f"the Hub gave {error}", where=where) from error

    def _pause(self, seconds: float) -> None:
        if self.sleep is not None:
            self.sleep(seconds)
        elif self.cancelled.wait(seconds):
            raise Interrupted("the work was stopped")
