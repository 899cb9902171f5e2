"""Raw bits of a slice -> the slice of a runtime parameter: view, transpose, pick rows, cast, check finite."""

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.plans import Move

DTYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def shape(raw: npt.NDArray[Any], source_dtype: str, move: Move) -> Any:
    """Return the mlx slice that `move` makes from raw source bits; lazy, in the source's dtype.

    The reader has already left out unwanted rows of an untransposed source with step 1.
    """
    array = _from_bits(raw).view(DTYPES[source_dtype]).reshape(raw.shape)
    if move.transposed:
        array = array.swapaxes(-1, -2)
    if move.rows is not None and (move.transposed or move.rows[2] != 1):
        start, stop, step = move.rows
        array = array[..., start:stop:step, :]
    return array


def _from_bits(raw: npt.NDArray[Any]) -> Any:
    # MLX copies a numpy array element by element: wide elements are copied four times as fast.
    flat = raw.reshape(-1)
    wide = next(word for word in (np.uint64, np.uint32, raw.dtype) if flat.nbytes % np.dtype(word).itemsize == 0)
    return mx.array(flat.view(wide))


def overflows(raw: npt.NDArray[Any], source_dtype: str) -> bool:
    """Say whether a value of raw source bits is beyond float16's range."""
    array = _from_bits(np.ascontiguousarray(raw)).view(DTYPES[source_dtype])
    return not bool(all_finite(cast(array, "F16")).item())


def cast(array: Any, dtype: str) -> Any:
    """Return `array` in `dtype` (F32, F16 or BF16), rounded to nearest even."""
    return array.astype(DTYPES[dtype])


def all_finite(array: Any) -> Any:
    """Return a lazy scalar: whether no element is NaN or infinite."""
    return mx.all(mx.isfinite(array))
