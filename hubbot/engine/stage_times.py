"""How long the stages of a conversion took: seconds summed over the threads that ran them side by side."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class StageTimes:
    """Seconds by stage, added to from several threads; `clock` returns seconds of monotonic time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add to `stage` the time until the end of the block."""
        started = self._clock()
        try:
            yield
        finally:
            self.add({stage: self._clock() - started})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add what stages took elsewhere."""
        with self._lock:
            for stage, some in seconds.items():
                self._seconds[stage] = self._seconds.get(stage, 0.0) + some

    def to_json(self) -> dict[str, float]:
        """Return seconds by stage, in the order in which the stages first ended."""
        with self._lock:
            return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}
