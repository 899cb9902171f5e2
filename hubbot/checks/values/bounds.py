"""How far a quantized weight may be from its source, per group, derived from the source alone.

Affine, n = 2^bits - 1 steps, range r, largest magnitude A, unit u of the scales' dtype. mx.quantize takes
s = r / n and moves it so that the edge of larger magnitude is a whole number of steps. That edge is at least
n / 2 steps away, so s shrinks by at most 1 / (n + 1) and the far end is clipped by at most n / (n + 1) < 1 step;
inside, the error is half a step. Rounding s costs n * u * s / 2 at the far code, rounding the bias A * u / 2.
"""

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.tensor_files import Floats

# Twice the half-unit of rounding, which leaves room for the rounding of the arithmetic itself.
UNIT = {"F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7}
# Below this the dtype's own steps are coarser than its unit: the spacing of subnormals.
SUBNORMAL = {"F32": 2.0**-149, "F16": 2.0**-24, "BF16": 2.0**-133}
SMALLEST_SCALE = 1e-7  # mlx/backend/cpu/quantized.cpp: eps
CLIPPED_STEPS = 1.0
SLACK = 1.05
# Largest error over the group's (or, below the smallest scale, the tensor's) largest magnitude. mxfp4: a power
# of two as scale is off by up to sqrt(2), so the maximum is clipped by up to 1 - 1/sqrt(2) = 0.293. mxfp8 the
# same. nvfp4: e4m3 scales are off by 1/16, the widest e2m1 step is 2 of 6, half of it 1/6: 0.177.
RELATIVE = {"mxfp4": 0.30, "mxfp8": 0.30, "nvfp4": 0.19}


def error_bound(
    source: Floats, *, mode: str, bits: int, group_size: int, scale_dtype: str
) -> npt.NDArray[np.float64]:
    """Return the allowed absolute error per group, [..., groups], for float32 `source` [..., in]."""
    groups = source.reshape(*source.shape[:-1], -1, group_size).astype(np.float64)
    largest = np.abs(groups).max(axis=-1)
    if mode != "affine":
        floor = np.abs(groups).max() * 2.0**-9 if mode == "nvfp4" else 0.0
        bound: npt.NDArray[np.float64] = RELATIVE[mode] * largest + floor
        return bound
    steps = 2**bits - 1
    scale = np.maximum((groups.max(axis=-1) - groups.min(axis=-1)) / steps, SMALLEST_SCALE)
    unit = UNIT[scale_dtype]
    rounding = (steps * scale + largest) * unit / 2 + (steps + 1) * SUBNORMAL[scale_dtype]
    allowed: npt.NDArray[np.float64] = SLACK * CLIPPED_STEPS * scale + rounding
    return allowed
