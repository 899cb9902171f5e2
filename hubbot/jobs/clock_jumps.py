"""The machine's clock beside its monotonic one: when it is set back, by how much.

Pauses are stored with the time at which they end. Set back, the clock would lengthen them; whoever stored them
moves them. Forward jumps shorten pauses, which does no harm, and are only noted.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Less is not worth a write; small steps add up until they are.
SMALLEST = timedelta(seconds=30)


@dataclass(slots=True, kw_only=True)
class ClockJumps:
    """What one process has seen of its clocks; threads may share it."""

    monotonic: Callable[[], float] = time.monotonic
    _begun: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, clock: Callable[[], datetime], act: Callable[[timedelta], None]) -> None:
        """Call `act` with the time by which `clock` was set back since the last call, if it was.

        Where `act` raises, the same jump is told again the next time.
        """
        with self._lock:
            # The time at which the monotonic clock was 0: it changes only where the other clock jumps.
            begun = clock() - timedelta(seconds=self.monotonic())
            back = timedelta(0) if self._begun is None else self._begun - begun
            if back >= SMALLEST:
                act(back)
            elif back >= timedelta(0) and self._begun is not None:
                return
            self._begun = begun
