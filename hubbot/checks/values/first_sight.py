"""Which groups fit at first sight: told by compiled kernels of the referee's own.

They are used only after a self-check, and only to find what is right: what does not fit is judged in numpy.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.packed_words import unpack
from hubbot.checks.readers.tensor_files import Floats
from hubbot.checks.values import fp4_fp8
from hubbot.checks.values.affine_codes import Fit, Groups, Mask, ends_of, fits, is_rounded, rounded, usual_fit

SEED: Final = 20_26
# Elements after which numba is worth importing.
COMPILED_FROM: Final = 96 << 20
# Widths whose codes the kernel takes apart itself.
_WHOLE: Final = (2, 4, 8)
# mode, bits, group size, whether there is a tensor scale.
_MODES: Final = (("mxfp4", 4, 32, False), ("mxfp8", 8, 32, False), ("nvfp4", 4, 16, False), ("nvfp4", 4, 16, True))
# weights, stream, bits, steps, then what is set: scales, biases, fits.
Kernel: TypeAlias = Callable[[Floats, npt.NDArray[np.uint8], int, np.float32, Floats, Floats, Mask], None]


@dataclass(slots=True)
class _State:
    """How many elements were looked at, and the kernels once they are compiled and checked."""

    elements: int = 0
    is_begun: bool = False
    kernel: Kernel | None = None
    micro: fp4_fp8.Kernel | None = None
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


def micro_kernel(elements: int) -> fp4_fp8.Kernel | None:
    """Return the kernel of the micro-scaled modes for so many elements, or None where none is ready."""
    if _state.micro is None:
        _count(elements)
    return _state.micro


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
    """Compile and check the kernels; say whether both will be used from now on."""
    try:
        from hubbot.checks.values.compiled import affine_fits, micro_fits  # noqa: PLC0415 - numba takes 0.2 s

        _state.kernel = affine_fits if agrees(affine_fits) else None
        _state.micro = micro_fits if micro_agrees(micro_fits) else None
    except Exception:  # noqa: BLE001 - numba missing or broken in any way: numpy judges alone
        return False
    return _state.kernel is not None and _state.micro is not None


def agrees(kernel: Kernel) -> bool:
    """Say whether a kernel finds the affine groups that numpy finds, right and wrong ones, on hard groups."""
    return all(
        _agrees(kernel, values, bits, dtype)
        for values in _hard_groups()
        for bits in (2, 3, 4, 5, 6, 8)
        for dtype in ("BF16", "F16", "F32")
    )


def micro_agrees(kernel: fp4_fp8.Kernel) -> bool:
    """Say whether a kernel judges micro-scaled groups as numpy does, right and wrong ones, on hard groups."""
    return all(
        _micro_agrees(kernel, values.reshape(-1, size), mode, bits, has_whole=has_whole)
        for values in _hard_groups()
        for mode, bits, size, has_whole in _MODES
    )


def _micro_agrees(kernel: fp4_fp8.Kernel, weights: Floats, mode: str, bits: int, *, has_whole: bool) -> bool:
    random = np.random.default_rng(SEED)
    wholes = np.full(len(weights), 3, np.float32) if has_whole else None
    with np.errstate(all="ignore"):
        scales = fp4_fp8.usual_scales(weights, wholes, mode=mode, bits=bits)
        scales[1::5] = random.integers(0, 256, len(scales[1::5]))
        codes = fp4_fp8.usual_codes(weights, scales, wholes, mode=mode, bits=bits)
        codes[::3, 5] ^= 1  # every third group is wrong
        groups = fp4_fp8.Groups(weights=weights, codes=codes, scales=scales, global_scales=wholes)
        packed = codes if bits == 8 else codes[:, 0::2] | (codes[:, 1::2] << np.uint8(4))
        words = np.ascontiguousarray(packed).view(np.uint32)
        wanted = fp4_fp8.judge(groups, mode=mode, bits=bits)
        found = fp4_fp8.judge_packed(kernel, weights, words, scales, wholes, mode=mode, bits=bits)
    counted = [(seen.ties, seen.zeroed, seen.saturated) for seen in (wanted, found)]
    return np.array_equal(found.wrong, wanted.wrong) and counted[0] == counted[1]


def _hard_groups() -> Iterator[Floats]:
    """Yield weights float32 [64, 64] that quantizers stumble over."""
    normal = np.random.default_rng(SEED).normal(0, 1, (64, 64))
    kinds = (
        normal, np.repeat(normal[:, :1], 64, axis=1), np.abs(normal) + 100, -np.abs(normal) - 100, normal * 0,
        normal * 1e-40, normal * 1e-9, np.round(normal * 4) / 8, np.where(normal > 0, 3e38, 2e38),
        np.where(normal > 2, np.nan, normal), np.where(normal > 2, -np.inf, normal),
    )  # fmt: skip
    return (values.astype(np.float32) for values in kinds)


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
