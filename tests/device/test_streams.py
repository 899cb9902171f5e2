from typing import Any

import mlx.core as mx
import numpy as np

from hubbot.device.streams import Lanes


def test_work_gives_the_same_bits_on_every_lane() -> None:
    lanes = Lanes()
    array = mx.array(np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32))

    def work() -> tuple[list[Any], list[dict[str, Any]]]:
        weight, scales, biases = mx.quantize(array, group_size=64, bits=4)
        return [mx.all(mx.isfinite(array))], [{"w": weight, "s": scales, "b": biases}]

    pending = [lanes.start(work) for _ in range(2 * lanes.count + 1)]
    finished = [item.wait() for item in pending]
    expected = mx.quantize(array, group_size=64, bits=4)
    for checks, (parts,) in finished:
        assert checks == [True]
        assert all(mx.array_equal(part, wanted) for part, wanted in zip(parts.values(), expected, strict=True))


def test_a_check_that_fails_is_a_plain_false() -> None:
    checks, results = Lanes().start(lambda: ([mx.array([1.0]).sum() > 2], [])).wait()
    assert checks == [False]
    assert results == []
