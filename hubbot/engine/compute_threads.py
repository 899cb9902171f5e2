"""Threads that compute slices, each with an MLX stream of its own: two on a CPU, one for a GPU.

The threads outlive a conversion: MLX starts a thread of the system for every stream and never ends it, not even
when the thread that made the stream is gone (mlx/scheduler.h).
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, TypeVar

import mlx.core as mx

CPU_THREADS = 2
# Freed buffers above this go back to the system instead of waiting for reuse.
CACHE_BYTES = 64 << 20
T = TypeVar("T")
_own = threading.local()


class ComputeThreads:
    """Threads that compute; use as a context manager. At its end waiting work is cancelled, running work awaited.

    A slice's result does not depend on the thread that computes it.
    """

    def __init__(self) -> None:
        mx.set_cache_limit(CACHE_BYTES)
        device = mx.default_device().type
        self.count = CPU_THREADS if device == mx.cpu else 1
        self._pool = _threads(self.count, device)
        self._begun: set[Future[Any]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        begun = tuple(self._begun)
        for future in begun:
            future.cancel()
        wait(begun)

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` on the next free thread and return its future."""
        future = self._pool.submit(_on_stream, work)
        self._begun.add(future)
        # Forgotten when done: what it computed must not live as long as the conversion.
        future.add_done_callback(self._begun.discard)
        return future


@functools.cache
def _threads(count: int, device: mx.DeviceType) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "compute", initializer=_begin, initargs=(device,))


def _begin(device: mx.DeviceType) -> None:
    _own.stream = mx.new_stream(device)


def _on_stream(work: Callable[[], T]) -> T:
    with mx.stream(_own.stream):
        return work()
