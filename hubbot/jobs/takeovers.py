"""Taking over the jobs of runners that died: an expired lease alone proves nothing, for clocks jump.

A lease is taken over when it has expired by this machine's clock and nobody has renewed it for a while of the
monotonic clock. It never touches this runner's own jobs.
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
    seen: dict[tuple[int, datetime], float] = field(default_factory=dict)

    def look(self) -> list[Job]:
        """Give back the jobs whose runner gave no sign of life since an earlier look, and return them."""
        now, expired = self.monotonic(), self.queue.expired(self.runner)
        since = {lease: self.seen.get(lease, now) for lease in expired}
        silent = {lease for lease, first in since.items() if now - first >= self.silent_seconds}
        self.seen.clear()
        self.seen.update(since)
        return self.queue.rescue(self.retry, self.runner, silent) if silent else []
