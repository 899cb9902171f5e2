"""Threads in turn, each with an MLX stream of its own, so that a CPU computes on all cores while others read.

One thread keeps a GPU busy; a CPU takes two.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import mlx.core as mx

CPU_LANES = 2
# Freed buffers above this go back to the system instead of waiting for reuse.
CACHE_BYTES = 64 << 20
T = TypeVar("T")


class Lanes:
    """Threads that compute; use as a context manager. A slice's result does not depend on its lane."""

    def __init__(self) -> None:
        device = mx.default_device()
        mx.set_cache_limit(CACHE_BYTES)
        self.count = CPU_LANES if device == mx.cpu else 1
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(self.count, initializer=self._begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Begin `work` on the next free lane."""
        return self._pool.submit(self._on_stream, work)

    def _begin(self) -> None:
        self._own.stream = mx.new_stream(mx.default_device())

    def _on_stream(self, work: Callable[[], T]) -> T:
        with mx.stream(self._own.stream):
            return work()
