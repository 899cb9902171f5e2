"""One float slice -> the stored parts of its encoding, by mx.quantize alone so that stock mlx-lm reads them."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np

from hubbot.device import mxfp4
from hubbot.device.ops import cast
from hubbot.plans import Encoding


def encode(array: Any, encoding: Encoding) -> dict[str, Any]:
    """Return lazy arrays by part suffix ("weight", "scales", "biases", "global_scale"; "" for a plain tensor).

    `array` is [..., in] in the source's dtype. Affine scales take the encoding's dtype, so the weights are
    rounded to it first, exactly as mlx_lm.convert does.
    """
    if not encoding.is_quantized:
        return {"": mx.contiguous(cast(array, encoding.dtype))}
    if encoding.mode == "affine":
        array = cast(array, encoding.dtype)
    if encoding.global_scale:
        return _with_global_scale(array, encoding)
    if encoding.mode == "mxfp4" and mx.default_device() == mx.cpu:
        values = np.array(array.astype(mx.float32))
        if mxfp4.can_quantize(values, half=array.dtype == mx.float16):
            words, exponents = mxfp4.quantize(values)
            return {"weight": mx.array(words), "scales": mx.array(exponents)}
    weight, scales, *biases = mx.quantize(
        array, group_size=encoding.group_size, bits=encoding.bits, mode=encoding.mode
    )
    parts = {"weight": weight, "scales": scales}
    if biases:
        parts["biases"] = biases[0]
    return parts


def _with_global_scale(array: Any, encoding: Encoding) -> dict[str, Any]:
    # One tensor scale per expert (mlx-lm models/switch_layers.py): nvfp4's e4m3 block scales then stay in range.
    largest = mx.max(mx.abs(array), axis=(-2, -1)).astype(mx.float32)
    pairs = [
        mx.quantize(
            array[expert],
            group_size=encoding.group_size,
            bits=encoding.bits,
            mode=encoding.mode,
            global_scale=largest[expert],
        )
        for expert in range(array.shape[0])
    ]
    return {
        "weight": mx.stack([weight for weight, *_ in pairs]),
        "scales": mx.stack([scales for _, scales, *_ in pairs]),
        "global_scale": largest,
    }


def raw_bytes(parts: Mapping[str, Any]) -> dict[str, memoryview]:
    """Return the evaluated parts as bytes, in the order of their elements."""
    return {suffix: memoryview(_bits(array)).cast("B") for suffix, array in parts.items() if array.size}


def _bits(array: Any) -> Any:
    # The buffer protocol has no bfloat16.
    return array.view(mx.uint16) if array.dtype == mx.bfloat16 else array
