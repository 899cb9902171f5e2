"""When a stage is tried again, and when its job parks: the numbers and the rule.

Exponential backoff with jitter, at least as long as the other side asked for, never longer than a bound.
It never sleeps and never decides what an error means (errors.py).
"""

from dataclasses import dataclass
from datetime import timedelta
from random import Random

from hubbot.errors import TryLater
from hubbot.settings import Settings

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 6 * 3600.0
# Unless the setting of that name says otherwise.
MAX_ATTEMPTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A retry rule: `first_seconds` doubles with every attempt up to `longest_seconds`."""

    first_seconds: float
    longest_seconds: float
    max_attempts: int
    random: Random

    def __call__(self, attempts: int, error: TryLater) -> timedelta | None:
        """Return the pause after the given number of failed attempts (from 1), or None when they are spent."""
        if attempts >= self.max_attempts:
            return None
        # A capped exponent: a float overflows long before a patient job runs out of attempts.
        doubled = min(self.first_seconds * 2.0 ** min(attempts - 1, 60), self.longest_seconds)
        # Between half and all of it, so that jobs that failed together do not come back together.
        jittered = doubled * self.random.uniform(0.5, 1.0)
        asked = error.after_seconds or 0.0
        return timedelta(seconds=min(max(jittered, asked), self.longest_seconds))


def rule_of(settings: Settings, random: Random) -> Backoff:
    """Return the retry rule of the bot under these settings; `random` is for the jitter."""
    return Backoff(
        first_seconds=FIRST_PAUSE_SECONDS,
        longest_seconds=LONGEST_PAUSE_SECONDS,
        max_attempts=MAX_ATTEMPTS if settings.max_attempts is None else settings.max_attempts,
        random=random,
    )
