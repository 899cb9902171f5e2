"""Rows of a quantized MLX weight as float32, by compiled kernels where they agree with MLX, else by MLX itself."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import mlx.core as mx
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
# (words, scales, biases or None) of some rows, and how they are stored -> float32 [rows, in].
Decode = Callable[[Any, Any, Any, dict[str, Any]], Floats]
# Words decoded after which numba, of some 100 MB, is worth importing.
COMPILED_FROM: Final = 16 << 20
_ONE_E8M0: Final = 127
_WIDTHS: Final = (2, 3, 4, 5, 6, 8)
_BYTES: Final = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}


@dataclass(slots=True)
class _State:
    """How many words this process has decoded."""

    words: int = 0


_state = _State()


def decode(words: Any, scales: Any, biases: Any, stored: dict[str, Any]) -> Floats:
    """Return MLX rows `words` uint32 [rows, in * bits / 32] as float32 [rows, in].

    `stored` holds group_size, bits, mode and, for nvfp4 with a tensor scale, global_scale, as mx.dequantize has
    them; what is None or missing is MLX's default.
    """
    given = {name: value for name, value in stored.items() if value is not None}
    _state.words += words.size
    worthwhile = _state.words >= COMPILED_FROM and "global_scale" not in given
    return ((compiled() if worthwhile else None) or _by_mlx)(words, scales, biases, given)


def _by_mlx(words: Any, scales: Any, biases: Any, stored: dict[str, Any]) -> Floats:
    made = mx.dequantize(words, scales, biases, dtype=mx.float32, **stored)
    mx.eval(made)
    return np.array(made, copy=False)


@cache
def compiled() -> Decode | None:
    """Return the compiled way to decode, or None where it cannot be had or disagrees with MLX."""
    try:
        from hubbot.runtime import decoding_kernels  # noqa: PLC0415 - numba takes 0.2 s to import

        made = _by_kernels(decoding_kernels.decode_affine, decoding_kernels.decode_table)
        return made if agrees(made) else None
    except Exception:  # noqa: BLE001 - numba missing or broken in any way: MLX decodes
        return None


def agrees(made: Decode) -> bool:
    """Say whether `made` decodes every mode and bit width as MLX does, to a rounding of float32."""
    weights = mx.array(np.random.default_rng(5).standard_normal((6, 256), dtype=np.float32))
    cases = [("affine", bits, size) for bits in _WIDTHS for size in (32, 64, 128)]
    cases += [(mode, bits, size) for mode, (bits, size) in _BYTES.items()]
    for mode, bits, size in cases:
        words, scales, *biases = mx.quantize(weights, group_size=size, bits=bits, mode=mode)
        stored = {"group_size": size, "bits": bits, "mode": mode}
        own, usual = (way(words, scales, biases[0] if biases else None, stored) for way in (made, _by_mlx))
        if own.shape != usual.shape or np.abs(own - usual).max() > 1e-6 * np.abs(usual).max():
            return False
    return True


def _by_kernels(affine: Callable[..., None], table: Callable[..., None]) -> Decode:
    values = {4: _values(4), 8: _values(8)}
    powers = np.append(np.exp2(np.arange(255, dtype=np.float64) - _ONE_E8M0), np.nan).astype(np.float32)

    def made(words: Any, scales: Any, biases: Any, stored: dict[str, Any]) -> Floats:
        mode = stored.get("mode", "affine")
        bits, size = _BYTES.get(mode, (stored.get("bits", 4), stored.get("group_size", 64)))
        stream = _bytes(words)
        rows, groups = scales.shape
        out = np.empty((rows * groups, size), np.float32)
        if mode == "affine":
            affine(stream, bits, _numbers(scales), _numbers(biases), out)
        else:
            codes = np.array(scales, copy=False).reshape(-1)
            table(stream, bits, (values[8] if mode == "nvfp4" else powers)[codes], values[bits], out)
        return out.reshape(rows, -1)

    return made


def _values(bits: int) -> Floats:
    """Return the value of every code of `bits` bits as MLX decodes it."""
    codes = np.arange(256, dtype=np.uint8) if bits == 8 else np.arange(0, 256, 17, dtype=np.uint8)
    stream = np.resize(codes, 256 if bits == 8 else 16)
    words = mx.array(np.ascontiguousarray(stream).view(np.uint32)[None])
    found = _by_mlx(
        words, mx.full((1, 8 if bits == 8 else 1), _ONE_E8M0, dtype=mx.uint8), None,
        {"mode": f"mxfp{bits}", "bits": bits, "group_size": 32},
    )  # fmt: skip
    return np.ascontiguousarray(found.reshape(-1) if bits == 8 else found.reshape(-1)[::2])


def _bytes(words: Any) -> npt.NDArray[np.uint8]:
    mx.eval(words)
    return np.ascontiguousarray(np.array(words, copy=False)).reshape(-1).view(np.uint8)


def _numbers(array: Any) -> Floats:
    wide = array.astype(mx.float32)
    mx.eval(wide)
    return np.ascontiguousarray(np.array(wide, copy=False)).reshape(-1)
