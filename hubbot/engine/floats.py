"""Float bits in numpy, which has no bfloat16: F32, F16 and BF16 as unsigned integers, converted and checked.

Rounding is to nearest even, as MLX's astype does.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# The numpy type that holds the bits of each dtype.
RAW: Final[Mapping[str, Any]] = {"F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}
# The exponent bits: all of them set means NaN or infinity.
_EXPONENT: Final[Mapping[str, int]] = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}
_MAGNITUDE: Final[Mapping[str, int]] = {"F32": 0x7FFFFFFF, "F16": 0x7FFF, "BF16": 0x7FFF}
# From here on a magnitude rounds to float16's infinity.
_BEYOND_HALF: Final = 65520.0


class NotFinite(Exception):
    """Weights hold NaN or infinity; whoever knows their names says where."""


def all_finite(raw: npt.NDArray[Any], dtype: str) -> bool:
    """Say whether no element is NaN or infinite; `raw` are bits [...] of `dtype`, or integers, which never are."""
    if raw.size == 0 or dtype not in RAW:
        return True
    if dtype == "F32":
        # The extremes of floats are NaN as soon as one of them is.
        values = raw.view(np.float32)
        with np.errstate(invalid="ignore"):
            return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
    mask = _EXPONENT[dtype]
    return int(np.bitwise_and(raw, raw.dtype.type(mask)).max()) != mask


def fits_float16(raw: npt.NDArray[Any], dtype: str) -> bool:
    """Say whether every element stays finite in float16; `raw` are bits [...] of `dtype`, finite ones."""
    if dtype == "F16" or raw.size == 0:
        return True
    largest = np.bitwise_and(raw, raw.dtype.type(_MAGNITUDE[dtype])).max(keepdims=True)
    return float(to_float32(largest.reshape(-1), dtype)[0]) < _BEYOND_HALF


def to_float32(raw: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Return bits [...] of `dtype` as float32 [...], exactly."""
    if dtype == "F32":
        return raw.view(np.float32)
    if dtype == "F16":
        return raw.view(np.float16).astype(np.float32)
    bits = raw.astype(np.uint32)
    bits <<= np.uint32(16)
    return bits.view(np.float32)


def to_float32_into(out: npt.NDArray[np.float32], raw: npt.NDArray[Any], dtype: str, *, rounded_to: str) -> None:
    """Write bits [n] of `dtype` into float32 `out` [n], rounded to the values that dtype `rounded_to` has."""
    if dtype == "F32" and rounded_to == "BF16":
        _round_bf16(out.view(np.uint32), raw)
        return
    if rounded_to not in {dtype, "F32"}:
        raw, dtype = convert_dtype(raw, dtype, rounded_to), rounded_to
    if dtype == "BF16":
        np.left_shift(raw, 16, out=out.view(np.uint32), dtype=np.uint32, casting="unsafe")
    elif dtype == "F16":
        np.copyto(out, raw.view(np.float16))
    else:
        np.copyto(out, raw.view(np.float32))


def from_float32(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    """Return float32 values [...] rounded to nearest even in `dtype`, as bits [...] in uint32 or uint16."""
    if dtype == "F32":
        return values.view(np.uint32)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).view(np.uint16)
    bits = np.empty(values.shape, np.uint32)
    _round_bf16(bits, values.view(np.uint32))
    bits >>= np.uint32(16)
    return bits.astype(np.uint16)


def _round_bf16(out: npt.NDArray[np.uint32], bits: npt.NDArray[np.uint32]) -> None:
    """Write float32 bits to `out`, rounded to nearest even at the sixteen bits that bfloat16 keeps."""
    np.right_shift(bits, np.uint32(16), out=out)
    np.bitwise_and(out, np.uint32(1), out=out)
    np.add(out, np.uint32(0x7FFF), out=out)
    np.add(out, bits, out=out)
    np.bitwise_and(out, np.uint32(0xFFFF0000), out=out)


def convert_dtype(raw: npt.NDArray[Any], dtype: str, wanted: str) -> npt.NDArray[Any]:
    """Return bits [...] of `dtype` as bits [...] of dtype `wanted`, rounded to nearest even."""
    return raw if dtype == wanted else from_float32(to_float32(raw, dtype), wanted)
