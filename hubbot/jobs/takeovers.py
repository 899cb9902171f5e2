"""Taking over the jobs of runners that died: an expired lease alone proves nothing, for clocks jump.

A lease is taken over when nobody has renewed it for a while of the monotonic clock since it expired: by this
machine's clock, or after the time that was left when it was first seen. It never touches its own jobs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from hubbot.lifecycle import Job, RetryRule
from hubbot.store.queue import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeovers:
    """What one runner has seen of the others' leases; `silent_seconds` is longer than between two heartbeats."""

    queue: Queue
    retry: RetryRule
    runner: str
    silent_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    # By lease, since when it has expired on the monotonic clock, which may be to come.
    seen: dict[tuple[int, datetime], float] = field(default_factory=dict)

    def look(self) -> list[Job]:
        """Give back the jobs whose runner gave no sign of life since an earlier look, and return them."""
        now, leases = self.monotonic(), self.queue.leases(self.runner)
        # A clock that jumps ahead lets it expire earlier, from this look on; one that is set back, never later.
        ends = {lease: now + max(0.0, lasts) for lease, lasts in leases.items()}
        since = {lease: min(self.seen.get(lease, end), end) for lease, end in ends.items()}
        silent = {lease for lease, first in since.items() if now - first >= self.silent_seconds}
        self.seen.clear()
        self.seen.update(since)
        return self.queue.rescue(self.retry, self.runner, silent) if silent else []
