"""From one slice of float bits to the stored parts of every variant's encoding, as stock mlx-lm reads them.

On a CPU affine and mxfp4 are computed in numpy, bit for bit as mx.quantize does; all else is mx.quantize.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.engine import affine, mxfp4_codes
from hubbot.engine.floats import convert_dtype, to_float32
from hubbot.plans import Encoding

Raw = npt.NDArray[Any]
Parts = Mapping[str, Raw]
DTYPES: Mapping[str, Any] = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def encode(raw: Raw, dtype: str, encodings: Sequence[Encoding]) -> list[Parts]:
    """Return, for each encoding, its stored parts by suffix.

    `raw` is [..., in] float bits of `dtype`, finite; with `global_scale` it is [experts, out, in]. A plain tensor
    has the one part "", bits [..., in] of the encoding's dtype. A quantized one has "weight" uint32
    [..., in * bits / 32], "scales" [..., in / group_size], for affine "biases" of the same shape (bits of the
    encoding's dtype), for nvfp4 with a tensor scale "global_scale" float32 [experts].
    """
    on_cpu = mx.default_device() == mx.cpu
    together = _affine(raw, dtype, encodings) if on_cpu else {}
    return [together.get(encoding) or _encode(raw, dtype, encoding, on_cpu=on_cpu) for encoding in encodings]


def _affine(raw: Raw, dtype: str, encodings: Sequence[Encoding]) -> dict[Encoding, Parts]:
    alike: dict[tuple[int, str], list[Encoding]] = defaultdict(list)
    for encoding in dict.fromkeys(encodings):
        if encoding.mode == "affine":
            assert encoding.group_size
            alike[encoding.group_size, encoding.dtype].append(encoding)
    made: dict[Encoding, Parts] = {}
    for (group_size, scale_dtype), group in alike.items():
        widths = [encoding.bits or 0 for encoding in group]
        parts = affine.quantize(raw, dtype, group_size=group_size, widths=widths, scale_dtype=scale_dtype)
        made.update(zip(group, parts, strict=True))
    return made


def _encode(raw: Raw, dtype: str, encoding: Encoding, *, on_cpu: bool) -> Parts:
    if not encoding.is_quantized:
        return {"": convert_dtype(raw, dtype, encoding.dtype)}
    if encoding.global_scale:
        return _bits(_with_global_scale(_mlx(raw, dtype), encoding))
    if encoding.mode == "mxfp4" and on_cpu:
        values = to_float32(np.ascontiguousarray(raw), dtype)
        if mxfp4_codes.can_quantize(values, half=dtype == "F16"):
            words, exponents = mxfp4_codes.quantize(values)
            return {"weight": words, "scales": exponents}
    if encoding.mode == "affine":
        # The weights are rounded to the scales' dtype first, exactly as mlx_lm.convert does.
        raw, dtype = convert_dtype(raw, dtype, encoding.dtype), encoding.dtype
    found = mx.quantize(_mlx(raw, dtype), group_size=encoding.group_size, bits=encoding.bits, mode=encoding.mode)
    return _bits(dict(zip(("weight", "scales", "biases"), found, strict=False)))


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


def _mlx(raw: Raw, dtype: str) -> Any:
    # MLX copies a numpy array element by element: wide elements are copied four times as fast.
    flat = np.ascontiguousarray(raw).reshape(-1)
    wide = next(word for word in (np.uint64, np.uint32, raw.dtype) if flat.nbytes % np.dtype(word).itemsize == 0)
    return mx.array(flat.view(wide)).view(DTYPES[dtype]).reshape(raw.shape)


def _bits(parts: Mapping[str, Any]) -> Parts:
    mx.eval(list(parts.values()))
    # The buffer protocol has no bfloat16.
    return {
        suffix: np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array)
        for suffix, array in parts.items()
    }
