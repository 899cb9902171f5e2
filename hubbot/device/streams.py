"""Several MLX streams in turn, so that a CPU computes on all cores while the next slices are read.

One CPU stream quantizes 0.4 GB/s on two cores, two streams 1.0 GB/s; a GPU needs one.
"""

from collections.abc import Callable
from typing import Any

import mlx.core as mx

CPU_LANES = 2
# Freed buffers above this go back to the system instead of waiting for reuse.
CACHE_BYTES = 64 << 20
Work = Callable[[], tuple[list[Any], list[dict[str, Any]]]]


class Pending:
    """Arithmetic under way: checks (scalars) and results (parts per variant)."""

    def __init__(self, checks: list[Any], results: list[dict[str, Any]]) -> None:
        self._checks = checks
        self._results = results

    def wait(self) -> tuple[list[bool], list[dict[str, Any]]]:
        """Return the checks as booleans and the evaluated results."""
        mx.eval(self._checks, [list(parts.values()) for parts in self._results])
        return [bool(check.item()) for check in self._checks], self._results


class Lanes:
    """Streams of the default device, used in turn; the result of a slice does not depend on its lane."""

    def __init__(self) -> None:
        device = mx.default_device()
        mx.set_cache_limit(CACHE_BYTES)
        self.count = CPU_LANES if device == mx.cpu else 1
        self._streams = [mx.new_stream(device) for _ in range(self.count)]
        self._next = 0

    def start(self, work: Work) -> Pending:
        """Build `work`'s graph on the next lane and begin to evaluate it."""
        stream = self._streams[self._next]
        self._next = (self._next + 1) % self.count
        with mx.stream(stream):
            checks, results = work()
            mx.async_eval(checks, [list(parts.values()) for parts in results])  # type: ignore[no-untyped-call]
        return Pending(checks, results)
