"""Codes and scales as stored -> float32 weights, exactly; one function per packing of the catalogue.

Every product is one float32 multiplication, so it is rounded once. It does not know where bytes come from.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.device.floats import widen
from hubbot.device.reader import Block
from hubbot.moves import Packed

Floats = npt.NDArray[np.float32]


def _e4m3() -> Floats:
    # OCP 8-bit floating point, E4M3: bias 7, no infinities, 0x7f and 0xff are NaN.
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    magnitude = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    magnitude[(code & 0x7F) == 0x7F] = np.nan
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


E4M3: Final = _e4m3()
# OCP Microscaling 1.0: e8m0 is a power of two, 0xff is NaN; e2m1 has eight magnitudes.
E8M0: Final = np.append(np.exp2(np.arange(255, dtype=np.float64) - 127), np.nan).astype(np.float32)
_E2M1: Final = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
# One byte holds two codes, the lower bits first.
E2M1_PAIRS: Final = np.stack([_E2M1[np.arange(256) & 15], _E2M1[np.arange(256) >> 4]], axis=-1)


def unpack(packed: Packed, block: Block, dtypes: Mapping[str, str]) -> Floats:
    """Return float32 [rows, columns] of one block; `dtypes` are those of the stored parts by role."""
    values: Floats = UNPACK[packed.packing](packed, block, dtypes)
    return values


def _fp8(packed: Packed, block: Block, dtypes: Mapping[str, str]) -> Floats:
    columns = block.columns
    values = E4M3[block.parts["weight"][:, columns.start : columns.stop : columns.step]]
    values *= _scales(packed, block, dtypes["scale"])
    return values


def _scales(packed: Packed, block: Block, dtype: str) -> Floats:
    """Return the scale of every element, or one per row or one in all where that is what is stored."""
    stored = block.parts["scale"]
    scales = E8M0[stored] if dtype in {"F8_E8M0", "U8"} else widen(stored, dtype)
    if scales.size == 1:
        return scales.reshape(1, 1)
    scales = scales.reshape(scales.shape[0], -1)[block.rows["scale"]]
    if scales.shape[1] == 1:
        return scales
    columns = block.columns
    return np.repeat(scales, packed.columns, axis=1)[:, columns.start : columns.stop : columns.step]


def _mxfp4(packed: Packed, block: Block, _dtypes: Mapping[str, str]) -> Floats:
    del packed
    codes, scales = block.parts["blocks"], E8M0[block.parts["scales"]]
    rows, groups, half = codes.shape
    values: Floats = E2M1_PAIRS[codes].reshape(rows, groups, 2 * half)
    values *= scales[block.rows["scales"]][:, :, None]
    columns = block.columns
    return values.reshape(rows, -1)[:, columns.start : columns.stop : columns.step]


UNPACK: Final[Mapping[str, Callable[[Packed, Block, Mapping[str, str]], Any]]] = {"fp8": _fp8, "mxfp4": _mxfp4}
