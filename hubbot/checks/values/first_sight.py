"""Which affine groups fit at first sight: told by a compiled kernel of the referee's own.

It is used only after a self-check, and only to find what is right: what does not fit is judged in numpy.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.packed_words import unpack
from hubbot.checks.readers.tensor_files import Floats
from hubbot.checks.values.affine_codes import Fit, Groups, Mask, ends_of, fits, is_rounded, rounded, usual_fit

SEED: Final = 20_26
# Elements after which numba is worth importing.
COMPILED_FROM: Final = 96 << 20
# Widths whose codes the kernel takes apart itself.
_WHOLE: Final = (2, 4, 8)
# weights, stream, bits, steps, then what is set: scales, biases, fits.
Kernel: TypeAlias = Callable[[Floats, npt.NDArray[np.uint8], int, np.float32, Floats, Floats, Mask], None]


@dataclass(slots=True)
class _State:
    """How many elements were looked at, and the kernel once it is compiled and checked."""

    elements: int = 0
    is_begun: bool = False
    kernel: Kernel | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def fits_at_once(
    weights: Floats, packed: npt.NDArray[Any], scales: Floats, biases: Floats, *, bits: int, dtype: str
) -> Mask | None:
    """Return which groups of `weights`, float32 [n, group], have the usual scale, bias and codes: bool [n].

    `packed` uint32 [...] holds their codes, `scales` and `biases` are stored floats [n]. None where no kernel is
    ready, which is compiled once enough was asked for.
    """
    kernel = _state.kernel
    if kernel is None:
        _count(weights.size)
        return None
    return _looked_at(kernel, weights, packed, scales, biases, bits=bits, dtype=dtype)


def _looked_at(
    kernel: Kernel,
    weights: Floats,
    packed: npt.NDArray[Any],
    scales: Floats,
    biases: Floats,
    *,
    bits: int,
    dtype: str,
) -> Mask:
    stream = np.ascontiguousarray(packed).reshape(-1).view(np.uint8)
    held = bits
    if bits not in _WHOLE:
        stream, held = unpack(packed, bits).reshape(-1), 8
    fit = Fit(scale=np.empty(len(weights), np.float32), bias=np.empty(len(weights), np.float32))
    found = np.empty(len(weights), np.bool_)
    kernel(weights, stream, held, np.float32(2**bits - 1), fit.scale, fit.bias, found)
    found &= is_rounded(scales, fit.scale, dtype, np.float32(0))
    found &= is_rounded(biases, fit.bias, dtype, np.float32(0))
    return found


def _count(elements: int) -> None:
    with _state.lock:
        _state.elements += elements
        if _state.is_begun or _state.elements < COMPILED_FROM:
            return
        _state.is_begun = True
    threading.Thread(target=prepare, daemon=True).start()


def prepare() -> bool:
    """Compile and check the kernel; say whether it will be used from now on."""
    try:
        from hubbot.checks.values.compiled import affine_fits  # noqa: PLC0415 - numba takes 0.2 s to import

        if not agrees(affine_fits):
            return False
    except Exception:  # noqa: BLE001 - numba missing or broken in any way: numpy judges alone
        return False
    _state.kernel = affine_fits
    return True


def agrees(kernel: Kernel) -> bool:
    """Say whether a kernel finds the groups that numpy finds, right and wrong ones, on hard groups."""
    random = np.random.default_rng(SEED)
    normal = random.normal(0, 1, (64, 64))
    kinds = (
        normal, np.repeat(normal[:, :1], 64, axis=1), np.abs(normal) + 100, -np.abs(normal) - 100, normal * 0,
        normal * 1e-40, normal * 1e-9, np.round(normal * 4) / 8, np.where(normal > 0, 3e38, 2e38),
        np.where(normal > 2, np.nan, normal), np.where(normal > 2, -np.inf, normal),
    )  # fmt: skip
    return all(
        _agrees(kernel, values.astype(np.float32), bits, dtype)
        for values in kinds
        for bits in (2, 3, 4, 5, 6, 8)
        for dtype in ("BF16", "F16", "F32")
    )


def _agrees(kernel: Kernel, weights: Floats, bits: int, dtype: str) -> bool:
    steps = np.float32(2**bits - 1)
    with np.errstate(all="ignore"):
        fit = usual_fit(*ends_of(weights), steps)
        codes = np.rint((weights - fit.bias[:, None]) / fit.scale[:, None])
        codes = np.nan_to_num(np.clip(codes, 0, steps)).astype(np.uint8)
        codes[::3, 5] ^= 1  # every third group is wrong
        scales, biases = (rounded(part, dtype).copy() for part in (fit.scale, fit.bias))
        scales[1::5] *= np.float32(1.25)
        groups = Groups(weights=weights, codes=codes, scales=scales, biases=biases)
        wanted = fits(groups, fit, steps, dtype) & np.isfinite(weights).all(axis=1)
        streamed = np.packbits(
            np.unpackbits(codes.reshape(-1, 1), axis=1, bitorder="little")[:, :bits].reshape(-1), bitorder="little"
        )
        found = _looked_at(kernel, weights, streamed.view(np.uint32), scales, biases, bits=bits, dtype=dtype)
    return np.array_equal(found, wanted)
