"""The threads of a conversion: none left running, nothing held, the same bits on every lane."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hubbot.engine.compute_threads import CPU_LANES, ComputeThreads, usable_cores
from hubbot.engine.formats import affine

TASKS = Path("/proc/self/task")
ROOT = Path(__file__).parents[2]


def add() -> int:
    return threading.get_ident()


def use_threads() -> set[int]:
    with ComputeThreads() as threads:
        return {future.result() for future in [threads.start(add) for _ in range(50)]}


def test_work_runs_beside_the_thread_that_asks_for_it() -> None:
    assert threading.get_ident() not in use_threads()


@pytest.mark.skipif(not TASKS.is_dir(), reason="the system does not list a process's threads as files")
def test_the_system_keeps_no_thread_for_every_conversion() -> None:
    # In a process of its own: threads of other tests come and go in this one.
    lines = (
        "from pathlib import Path",
        "from tests.engine.test_compute_threads import TASKS, use_threads",
        "count = lambda: sum(1 for _ in TASKS.iterdir())",
        "[use_threads() for _ in range(4)]",
        "before = count()",
        "[use_threads() for _ in range(10)]",
        "assert count() <= before, (count(), before)",
    )
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_at_the_end_what_waits_is_cancelled_and_what_runs_is_awaited() -> None:
    ended = []

    def slow() -> None:
        time.sleep(0.05)
        ended.append(True)

    with ComputeThreads() as threads:
        futures = [threads.start(slow) for _ in range(20)]
    assert all(future.done() for future in futures)
    assert len(ended) == sum(not future.cancelled() for future in futures) < 20


def test_what_a_lane_computed_is_not_kept() -> None:
    with ComputeThreads() as threads:
        made = threads.start(lambda: np.zeros(3)).result()
        gone = weakref.ref(made)
        del made
        # The thread itself lets go of its last result when it takes the next work.
        for _ in range(threads.count * 4):
            threads.start(add).result()
        gc.collect()
        assert gone() is None


def test_work_gives_the_same_bits_on_every_lane() -> None:
    values = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)

    def work() -> list[npt.NDArray[Any]]:
        made = affine.quantize(values.view(np.uint32), "F32", group_size=64, widths=(4,), scale_dtype="BF16")
        return list(made[0].values())

    expected = work()
    with ComputeThreads() as threads:
        pending = [threads.start(work) for _ in range(4 * threads.count + 1)]
        for future in pending:
            assert all(
                np.array_equal(part, wanted) for part, wanted in zip(future.result(), expected, strict=True)
            )


def test_as_many_slices_are_computed_at_once_as_there_are_lanes() -> None:
    with ComputeThreads() as threads:
        meeting = threading.Barrier(threads.count, timeout=20)
        waiting = [threads.start(meeting.wait) for _ in range(threads.count)]
        assert sorted(future.result() for future in waiting) == list(range(threads.count))


def test_there_are_no_more_lanes_than_cores_for_this_process() -> None:
    assert 1 <= CPU_LANES <= usable_cores()
