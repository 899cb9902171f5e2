"""Unpack codes and scales to float32 weights, exactly; one function per kind of packing.

The last step of a value is one float32 multiplication, rounded once. Rows are unpacked in runs that stay in a
core's cache. It does not know where the bytes come from.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import to_float32
from hubbot.engine.integers import Integers, integers
from hubbot.engine.reader import Block
from hubbot.moves import Packed

Floats = npt.NDArray[np.float32]
Dtypes = Mapping[str, str]
# Elements of one run.
RUN: Final = 1 << 16


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
_EVERY = np.arange(1 << 16)
# Two neighbouring values at once, as the bits of both: of two bytes, or of a byte's two nibbles, the lower first.
_E4M3_TWICE: Final = np.stack([E4M3[_EVERY & 255], E4M3[_EVERY >> 8]], axis=-1).view(np.uint64)[:, 0]
_E2M1_TWICE: Final = np.stack([_E2M1[_EVERY[:256] & 15], _E2M1[_EVERY[:256] >> 4]], axis=-1).view(np.uint64)[:, 0]


def unpack(packed: Packed, block: Block, dtypes: Dtypes) -> Floats:
    """Return float32 [rows of the block, columns wanted] of one block, oriented [out, in].

    `dtypes` are those of the stored parts by role. Raises ValueMismatch where a stored order of groups names a
    group that does not exist.
    """
    values = UNPACK[packed.packing](packed, block, dtypes)
    columns = block.columns
    wanted = values[:, columns.start : columns.stop : columns.step]
    return wanted.T if packed.transposed else wanted


def _fp8(packed: Packed, block: Block, dtypes: Dtypes) -> Floats:
    codes, index = block.parts["weight"], block.rows["scale"]
    values = np.empty(codes.shape, np.float32)
    scales = as_grid(_scales(block.parts["scale"], dtypes["scale"]), packed)
    if packed.rows != 1 and scales.shape[1] not in {1, codes.shape[1]}:
        # Shared by many rows: spread over the columns once.
        scales = np.repeat(scales, packed.columns, axis=1)[:, : codes.shape[1]]
    for rows, some in _runs(packed, index, codes.shape[1]):
        _look_up_bytes(codes[rows], values[rows])
        _apply(np.multiply, values[rows], scales[some], packed.columns)
    return values


def _mxfp4(packed: Packed, block: Block, dtypes: Dtypes) -> Floats:
    return _nibbles(packed, block, _scales(block.parts["scale"], "U8" if dtypes["scale"] == "U8" else "F8_E8M0"))


def _divided(packed: Packed, block: Block, _dtypes: Dtypes) -> Floats:
    return _nibbles(packed, block, E4M3[block.parts["scale"]] / block.parts["whole"].view(np.float32).reshape(()))


def _multiplied(packed: Packed, block: Block, _dtypes: Dtypes) -> Floats:
    return _nibbles(packed, block, E4M3[block.parts["scale"]] * block.parts["whole"].view(np.float32).reshape(()))


def _nibbles(packed: Packed, block: Block, scales: Floats) -> Floats:
    codes = block.parts["codes"].view(np.uint8)
    codes = codes.reshape(len(codes), -1)
    values = np.empty((len(codes), 2 * codes.shape[1]), np.float32)
    for rows, some in _runs(packed, block.rows["scale"], values.shape[1]):
        np.take(_E2M1_TWICE, codes[rows], out=values[rows].view(np.uint64), mode="clip")
        _apply(np.multiply, values[rows], scales[some], packed.columns)
    return values


def _integers(packed: Packed, block: Block, dtypes: Dtypes) -> Floats:
    made = integers(packed, block, dtypes["scale"])
    values = np.empty(made.codes.shape, np.float32)
    for rows in _slices(len(values), packed.shape[-1]):
        part = values[rows]
        np.copyto(part, made.codes[rows])
        _apply(np.subtract, part, _of(made, made.zeros, rows), packed.columns)
        _apply(np.multiply, part, _of(made, made.scales, rows), packed.columns)
    return values


def _of(made: Integers, grid: Floats, rows: slice) -> Floats:
    """Return the scales or zero points of some rows, by column where columns have an order of their own."""
    some = grid if len(grid) == 1 else grid[made.index[rows]]
    return some if made.order is None or some.shape[1] == 1 else some[:, made.order]


def as_grid(scales: Floats, packed: Packed) -> Floats:
    """Return float32 scales as [stored rows, stored columns]; [1, n] where all rows share them."""
    if packed.rows == 0:
        return scales.reshape(1, -1)
    return scales.reshape(scales.shape[0], -1)


def _scales(stored: npt.NDArray[Any], dtype: str) -> Floats:
    return E8M0[stored] if dtype in {"F8_E8M0", "U8"} else to_float32(stored, dtype)


def _look_up_bytes(codes: npt.NDArray[Any], out: Floats) -> None:
    if codes.size % 2 or not codes.flags.c_contiguous:
        np.take(E4M3, codes, out=out, mode="clip")
        return
    pairs = codes.reshape(-1).view(np.uint16)
    np.take(_E4M3_TWICE, pairs, out=out.reshape(-1).view(np.uint64), mode="clip")


def _slices(height: int, width: int) -> Iterator[slice]:
    step = max(1, RUN // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(height, start + step))


def _runs(packed: Packed, index: npt.NDArray[np.int64], width: int) -> Iterator[tuple[slice, Any]]:
    """Yield runs of rows with the rows of scales that they use: one where they share it, else their own."""
    if packed.rows == 1:
        for rows in _slices(len(index), width):
            yield rows, index[rows]
        return
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(index)], strict=True):
        for rows in _slices(int(stop - start), width):
            yield slice(start + rows.start, start + rows.stop), index[start : start + 1]


def _apply(operation: Any, values: Floats, some: Floats, columns: int) -> None:
    """Apply `some` [rows or 1, 1 or groups or columns] to values [rows, columns] in place."""
    height, width = values.shape
    if some.shape[1] in {1, width}:
        operation(values, some, out=values)
    elif len(some) > 1 and width % columns == 0:
        grouped = values.reshape(height, -1, columns)
        operation(grouped, some[:, :, None], out=grouped)
    else:
        operation(values, np.repeat(some, columns, axis=1)[:, :width], out=values)


Unpack = Callable[[Packed, Block, Dtypes], Floats]
UNPACK: Final[Mapping[str, Unpack]] = {
    **dict.fromkeys(("fp8", "float-quantized", "modelopt-fp8"), _fp8),
    **dict.fromkeys(("mxfp4", "mxfp4-pack-quantized"), _mxfp4),
    "nvfp4-pack-quantized": _divided,
    "modelopt-nvfp4": _multiplied,
    **dict.fromkeys(("pack-quantized", "int-quantized", "gptq", "awq"), _integers),
}
