"""The quantizer's arithmetic alone: gigabytes of bfloat16 a second with one lane and with one per core, as JSON.

python -m tests.bench.arithmetic
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from hubbot.engine import heaps
from hubbot.engine.compute_threads import CPU_LANES
from hubbot.engine.formats import kernels

# Of one expert's matrix, as a conversion computes it at a time.
SHAPE = (768, 2048)
TASKS = 400
TRIES = 3


def gigabytes_per_second(lanes: int, raw: npt.NDArray[np.uint16]) -> float:
    """Return the best of three tries to quantize `raw` to 4 bits, 400 times."""
    quantize = partial(kernels.checked("BF16").affine, group_size=64, widths=(4,), scale_dtype="BF16")
    best = 0.0
    with ThreadPoolExecutor(lanes) as pool:
        for _ in range(TRIES):
            started = time.perf_counter()
            list(pool.map(lambda _: bool(quantize(raw, "BF16")), range(TASKS)))
            best = max(best, TASKS * raw.nbytes / 1e9 / (time.perf_counter() - started))
    return best


def main() -> None:
    """Print lanes, speeds and which kernels computed."""
    heaps.share_one()
    values = np.random.default_rng(0).normal(0, 0.02, SHAPE).astype(np.float32)
    raw = (values.view(np.uint32) >> 16).astype(np.uint16)
    one, all_lanes = (round(gigabytes_per_second(lanes, raw), 2) for lanes in (1, CPU_LANES))
    reason = kernels.checked("BF16").reason
    sys.stdout.write(
        json.dumps({"lanes": CPU_LANES, "one": one, "all": all_lanes, "numpy_because": reason}) + "\n"
    )


if __name__ == "__main__":
    main()
