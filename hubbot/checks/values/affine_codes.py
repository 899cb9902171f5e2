"""Is this group what affine quantization makes of these weights? Answered from the source, without mlx.

The arithmetic in float32 is that of mlx (backend/metal/kernels/quantized.h, affine_quantize), n = 2^bits - 1:
scale = max((max - min) / n, 1e-7), negative where |max| >= |min|; edge is the end of larger magnitude;
q0 = round(edge / scale); where q0 is not 0, scale = edge / q0 and bias = edge, else bias = 0;
code = round((w - bias) / scale) clipped to 0..n; scale and bias are then rounded to the dtype of the weights.
A device may round a tie the other way; nothing else may differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.packed_words import Codes
from hubbot.checks.readers.tensor_files import Floats, narrow, widen

SMALLEST_SCALE = np.float32(1e-7)
# A quotient so near to a half may be rounded either way; a division's own rounding is far smaller.
TIE_STEPS = np.float32(1e-3)
TIE_RELATIVE = np.float32(2.0**-21)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups of one slice: weights and codes [n, group], scales and biases [n] as stored floats."""

    weights: Floats
    codes: Codes
    scales: Floats
    biases: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One way in which a group may be quantized: the scale and bias in float32, before they are rounded."""

    scale: Floats
    bias: Floats


def unexplained(groups: Groups, *, bits: int, dtype: str) -> tuple[Mask, int]:
    """Return which groups are not the quantized weights, [n], and how many are only so at a tie."""
    low, high = ends_of(groups.weights)
    steps = np.float32(2**bits - 1)
    wrong = ~fits(groups, usual_fit(low, high, steps), steps, dtype)
    suspects = np.flatnonzero(wrong)
    if not len(suspects):
        return wrong, 0
    some = Groups(
        weights=groups.weights[suspects],
        codes=groups.codes[suspects],
        scales=groups.scales[suspects],
        biases=groups.biases[suspects],
    )
    explained = is_exact(some)
    for fit in _other_fits(low[suspects], high[suspects], steps):
        explained |= fits(some, fit, steps, dtype, at_ties=True)
    wrong[suspects] = ~explained
    return wrong, int(explained.sum())


def ends_of(weights: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest of every group of weights [n, group], float32 [n] each."""
    # Pairs at a time across the first axis: numpy is slow along rows as short as a group.
    columns = np.ascontiguousarray(weights.view(np.uint64).T).view(np.float32)
    low, high = columns.min(axis=0), columns.max(axis=0)
    return np.minimum(low[0::2], low[1::2]), np.maximum(high[0::2], high[1::2])


def usual_fit(low: Floats, high: Floats, steps: np.float32) -> Fit:
    """Return scale and bias of groups with these ends, by mlx's arithmetic; `steps` is the largest code."""
    scale, edge, count = _first(low, high, steps)
    return _second(scale, edge, np.rint(count))


def _other_fits(low: Floats, high: Floats, steps: np.float32) -> Iterator[Fit]:
    # MLX's GPU kernels begin to look for the ends at 0, so that a group of one sign gets a scale that is too wide.
    zero = np.float32(0)
    for bottom, top in ((low, high), (low, np.maximum(high, zero)), (np.minimum(low, zero), high)):
        scale, edge, count = _first(bottom, top, steps)
        for side in (-TIE_STEPS, TIE_STEPS):
            yield _second(scale, edge, np.rint(count + side))


def _first(low: Floats, high: Floats, steps: np.float32) -> tuple[Floats, Floats, Floats]:
    scale = np.maximum((high - low) / steps, SMALLEST_SCALE)
    below = np.abs(low) > np.abs(high)
    scale = np.where(below, scale, -scale)
    edge = np.where(below, low, high)
    with np.errstate(invalid="ignore"):
        return scale, edge, edge / scale


def _second(scale: Floats, edge: Floats, count: Floats) -> Fit:
    zero = count == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return Fit(
            scale=np.where(zero, scale, edge / count).astype(np.float32),
            bias=np.where(zero, np.float32(0), edge).astype(np.float32),
        )


def fits(groups: Groups, fit: Fit, steps: np.float32, dtype: str, *, at_ties: bool = False) -> Mask:
    """Return which groups have the scale and bias of `fit` in `dtype`, and the codes nearest to their weights."""
    nudge = TIE_RELATIVE if at_ties else np.float32(0)
    alike = is_rounded(groups.scales, fit.scale, dtype, nudge) & is_rounded(groups.biases, fit.bias, dtype, nudge)
    with np.errstate(invalid="ignore", over="ignore"):
        position = groups.weights - fit.bias[:, None]
        position *= np.float32(1) / fit.scale[:, None]
        np.minimum(position, steps, out=position)
        position -= groups.codes
        limit = np.float32(0.5) + TIE_STEPS
        if position.max(initial=0) <= limit and position.min(initial=0) >= -limit:
            return alike
        alike &= np.abs(position).max(axis=1) <= limit
    return alike


def is_rounded(stored: Floats, exact: Floats, dtype: str, nudge: np.float32) -> Mask:
    """Return where `stored` is `exact` rounded to `dtype`, or is so when `exact` is off by a share of `nudge`."""
    found: Mask = stored == rounded(exact, dtype)
    if nudge:
        for factor in (1 - nudge, 1 + nudge):
            found |= stored == rounded(exact * factor, dtype)
    return found


def rounded(exact: Floats, dtype: str) -> Floats:
    """Return float32 values rounded to those that `dtype` has."""
    if dtype == "F32":
        return exact
    raw: npt.NDArray[Any] = narrow(exact, dtype)
    return widen(raw.view(np.float16) if dtype == "F16" else raw, dtype)


def is_exact(groups: Groups) -> Mask:
    """Say which groups decode to the very weights, as codes do that a packed source held already."""
    with np.errstate(invalid="ignore", over="ignore"):
        decoded = groups.codes * groups.scales[:, None] + groups.biases[:, None]
    exact: Mask = ((decoded == groups.weights) & np.isfinite(decoded)).all(axis=1)
    return exact
