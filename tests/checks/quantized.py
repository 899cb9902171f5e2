"""Groups as mx.quantize itself makes them, for the referee's own arithmetic to be held against."""

from typing import Any

import mlx.core as mx
import numpy as np

from hubbot.checks.readers.packed_words import unpack
from hubbot.checks.values import affine_codes, fp4_fp8
from tests.checkpoints_on_disk import MLX_DTYPES, mx_quantize
from tests.reference.checkpoints import Floats


def affine_groups(values: Floats, *, bits: int, dtype: str) -> affine_codes.Groups:
    array = mx.array(values).astype(MLX_DTYPES[dtype])
    weight, scales, biases = mx_quantize(array, group_size=values.shape[-1], bits=bits)
    return affine_codes.Groups(
        weights=_floats(array),
        codes=unpack(np.array(weight), bits),
        scales=_floats(scales)[:, 0],
        biases=_floats(biases)[:, 0],
    )


def micro_groups(values: Floats, *, mode: str, bits: int, dtype: str, whole: bool) -> fp4_fp8.Groups:
    array = mx.array(values).astype(MLX_DTYPES[dtype])
    weights = _floats(array)
    largest = np.abs(weights).max(initial=0)
    settings: dict[str, Any] = {"global_scale": mx.array(largest)} if whole else {}
    weight, scales = mx_quantize(array, group_size=values.shape[-1], bits=bits, mode=mode, **settings)
    return fp4_fp8.Groups(
        weights=weights,
        codes=unpack(np.array(weight), bits),
        scales=np.array(scales)[:, 0],
        global_scales=np.full(len(weights), largest, np.float32) if whole else None,
    )


def _floats(array: mx.array) -> Floats:
    return np.array(array.astype(mx.float32))
