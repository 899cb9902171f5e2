"""Packed weights -> float32, one plain numpy function per packing: the referee's own reading of codes and scales.

Sources: the OCP 8-bit floating point and Microscaling (MX) specifications 1.0; DeepSeek-V3's description of its
fp8 weights; openai/gpt-oss's of its mxfp4 blocks; compressed-tensors and ModelOpt on nvfp4.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers import packed_integers
from hubbot.checks.readers.decoding import E2M1, E4M3
from hubbot.checks.readers.packed_integers import whole
from hubbot.checks.readers.tensor_files import Floats, TensorFiles, widen
from hubbot.moves import Packed


def scale_values(raw: npt.NDArray[np.generic], dtype: str) -> Floats:
    """Return scales [...] as float32 [...]: floats as they are, one-byte ones as powers of two (e8m0)."""
    if dtype in {"F8_E8M0", "U8"}:
        exponent = raw.astype(np.int32) - 127
        values: Floats = np.where(exponent == 128, np.nan, np.exp2(exponent.astype(np.float64))).astype(np.float32)
        return values
    return widen(raw, dtype)


def _fp8(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    codes = files.raw(packed.parts["weight"].tensor, start, stop)
    scale = packed.parts["scale"].tensor
    info = files.tensors[scale]
    values = scale_values(whole(files, scale), info.dtype).reshape(info.shape)
    if len(packed.shape) == 3:
        per_expert = values.ndim > 0 and values.shape[0] == packed.shape[0] and values.size > 1
        made = [
            _scaled(codes[expert], values[start + expert] if per_expert else values, packed, 0)
            for expert in range(len(codes))
        ]
        return np.stack(made) if made else np.empty((0, *packed.shape[1:]), np.float32)
    return _scaled(codes, values, packed, start)


def _scaled(codes: npt.NDArray[np.generic], scales: Floats, packed: Packed, first: int) -> Floats:
    """Return rows `first` and following of one matrix under the scales of all of it."""
    if packed.rows == 0:
        shared: Floats = E4M3[codes] * scales.reshape(1, -1)
        return shared
    height, width = packed.shape[-2:]
    grid = scales.reshape(-1, 1) if packed.columns == 0 else scales
    spread = np.repeat(grid, packed.rows, axis=0)[:height][first : first + len(codes)]
    if packed.columns:
        spread = np.repeat(spread, packed.columns, axis=1)[:, :width]
    scaled: Floats = E4M3[codes] * spread
    return scaled


def _mxfp4(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    return _nibbles(files, packed, start, stop, scale_values(_scale(files, packed, start, stop), "F8_E8M0"))


def _divided(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    scales = E4M3[_scale(files, packed, start, stop)]
    return _nibbles(files, packed, start, stop, scales / _whole(files, packed, start, stop))


def _multiplied(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    scales = E4M3[_scale(files, packed, start, stop)]
    return _nibbles(files, packed, start, stop, scales * _whole(files, packed, start, stop))


def _scale(files: TensorFiles, packed: Packed, start: int, stop: int) -> npt.NDArray[np.uint8]:
    return files.raw(packed.parts["scale"].tensor, start, stop)


def _whole(files: TensorFiles, packed: Packed, start: int, stop: int) -> Floats:
    """Return the number of the whole tensor, or those of experts `start` to `stop` beside their scales."""
    number = widen(whole(files, packed.parts["whole"].tensor), "F32").reshape(-1)
    return number.reshape(()) if number.size == 1 else number[start:stop].reshape(-1, 1, 1)


def _nibbles(files: TensorFiles, packed: Packed, start: int, stop: int, scales: Floats) -> Floats:
    codes = files.raw(packed.parts["codes"].tensor, start, stop).view(np.uint8)
    values = np.empty((*codes.shape[:-1], 2 * codes.shape[-1]), np.float32)
    values[..., 0::2], values[..., 1::2] = E2M1[codes & 15], E2M1[codes >> 4]
    grouped = values.reshape(*scales.shape, -1)
    grouped *= scales[..., None]
    return grouped.reshape(len(codes), *packed.shape[1:])


# (files, packed tensor, first step, last step of its first axis) -> float32
DECODERS: Mapping[str, Callable[[TensorFiles, Packed, int, int], Floats]] = {
    "fp8": _fp8,
    "float-quantized": _fp8,
    "modelopt-fp8": _fp8,
    "mxfp4": _mxfp4,
    "mxfp4-pack-quantized": _mxfp4,
    "nvfp4-pack-quantized": _divided,
    "modelopt-nvfp4": _multiplied,
    "pack-quantized": packed_integers.pack_quantized,
    "int-quantized": packed_integers.int_quantized,
    "gptq": packed_integers.gptq,
    "awq": packed_integers.awq,
}
