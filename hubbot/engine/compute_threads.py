"""Threads that compute slices: as many as there are cores for this process, up to where the disk is slower.

numpy and the fused kernels release the interpreter's lock, so the threads run side by side.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar

# More lanes than this wait for reading and writing.
MOST_LANES: Final = 8
T = TypeVar("T")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


CPU_LANES: Final = max(1, min(MOST_LANES, usable_cores()))


class ComputeThreads:
    """`count` threads that compute; use as a context manager.

    At its end waiting work is cancelled and running work awaited. A slice's result does not depend on the thread
    that computes it.
    """

    def __init__(self, count: int = CPU_LANES) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "compute")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` on the next free thread and return its future."""
        return self._pool.submit(work)
