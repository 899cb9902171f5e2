import threading

import mlx.core as mx
import numpy as np

from hubbot.device.streams import Lanes


def test_work_gives_the_same_bits_on_every_lane() -> None:
    values = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)

    def work() -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint32]]]:
        found = mx.quantize(mx.array(values), group_size=64, bits=4)
        return [np.array(part) for part in found]

    expected = work()
    with Lanes() as lanes:
        pending = [lanes.start(work) for _ in range(4 * lanes.count + 1)]
        for future in pending:
            assert all(
                np.array_equal(part, wanted) for part, wanted in zip(future.result(), expected, strict=True)
            )


def test_as_many_slices_are_computed_at_once_as_there_are_lanes() -> None:
    with Lanes() as lanes:
        meeting = threading.Barrier(lanes.count, timeout=20)
        waiting = [lanes.start(meeting.wait) for _ in range(lanes.count)]
        assert sorted(future.result() for future in waiting) == list(range(lanes.count))
