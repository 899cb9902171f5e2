"""Measures the largest error of a slice, relative to the bound of its encoding, and says where it is.

It decodes with mx.dequantize. That is slow, so it looks at seeded rows and at slices that are not an exact match.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.artifact_parameters import StoredParameter
from hubbot.checks.readers.decoding import decode
from hubbot.checks.readers.tensor_files import Floats, narrow, widen
from hubbot.checks.values.bounds import error_bound
from hubbot.checks.values.compared_slices import Slice
from hubbot.checks.values.exact_match import Match, Parts
from hubbot.runtime import loading


@dataclass(slots=True, kw_only=True)
class WorstError:
    """The worst seen of one parameter: `ratio` is error over bound, `at` says where; `units` differ in all."""

    units: int = 0
    ties: int = 0
    saturated: int = 0
    zeroed: int = 0
    first: str = ""
    ratio: float = 0.0
    error: float = 0.0
    bound: float = 0.0
    at: str = ""
    not_finite: str = ""
    crosscheck: float = 0.0
    experts: list[int] = field(default_factory=list)

    def count(self, part: Slice, match: Match, shape: tuple[int, ...]) -> None:
        """Add what the quick comparison saw in a slice of logical `shape`."""
        self.ties += match.ties
        self.saturated += match.saturated
        self.zeroed += match.zeroed
        self.units += match.wrong.size
        if self.units and not self.first:
            self.first = _place(part, int(match.wrong[0]), shape)
        if part.place is not None and match.wrong.size and match.finite:
            per_expert = match.units // (part.stop - part.start)
            self.experts += [part.start + int(expert) for expert in np.unique(match.wrong // per_expert)]

    def measure(self, part: Slice, source: Floats, actual: Floats, *, at: str = "") -> None:
        """Add the errors of a slice, or of rows of it: `source` and decoded `actual` are float32 [..., in].

        `at` names the rows.
        """
        if not (np.isfinite(actual).all() and np.isfinite(source).all()):
            self.not_finite = self.not_finite or _span(part)
            return
        size = part.parameter.group_size or 1
        bound = bound_of(part.parameter, source)
        wanted = source if size > 1 else _rounded(source, part.parameter.dtype)
        error = np.abs(wanted.astype(np.float64) - actual)
        if part.parameter.mode not in {"none", "affine"}:
            self.zeroed = max(self.zeroed, _zeroed(source, actual, size))
        per_group = error.reshape(*bound.shape, -1).max(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(per_group > 0, per_group / bound, 0.0)
        worst = int(ratio.argmax())
        if ratio.flat[worst] > self.ratio:
            self.ratio, self.error = float(ratio.flat[worst]), float(per_group.flat[worst])
            self.bound, self.at = float(bound.flat[worst]), at or _place(part, worst, source.shape)


def decoded(parameter: StoredParameter, parts: Parts) -> Floats:
    """Return stored parts [..., words] decoded by the runtime, float32 [..., in]."""
    if parameter.mode == "none":
        return widen(parts["weight"], parameter.dtype)
    return loading.dequantize(parts, **settings(parameter))


def disagreement(parameter: StoredParameter, parts: Parts, actual: Floats) -> float:
    """Return the largest difference of `actual` [..., in] from numpy's decoding of the same parts [..., words]."""
    if parameter.mode == "none":
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        again = decode(parts, **settings(parameter))
        return float(np.abs(again - actual).max(initial=0.0))


def settings(parameter: StoredParameter) -> dict[str, Any]:
    """Return what a decoder must know of a parameter."""
    return {
        "mode": parameter.mode,
        "bits": parameter.bits,
        "group_size": parameter.group_size,
        "scale_dtype": parameter.dtype,
    }


def bound_of(parameter: StoredParameter, source: Floats) -> npt.NDArray[np.float64]:
    """Return the allowed error per group [..., groups]; per element, and 0, for a plain parameter."""
    if parameter.mode == "none":
        return np.zeros(source.shape, np.float64)
    # Affine weights are rounded to the scales' dtype before they are quantized, as mlx_lm.convert does.
    rounded = _rounded(source, parameter.dtype) if parameter.mode == "affine" else source
    return error_bound(
        rounded,
        mode=parameter.mode,
        bits=parameter.bits,
        group_size=parameter.group_size,
        scale_dtype=parameter.dtype,
    ) + _rounding(source, rounded, parameter.group_size)


def _rounded(source: Floats, dtype: str) -> Floats:
    if dtype == "F32":
        return source
    raw = narrow(source, dtype)
    return widen(raw.view(np.float16) if dtype == "F16" else raw, dtype)


def _rounding(source: Floats, rounded: Floats, group_size: int) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        moved = np.abs(source.astype(np.float64) - rounded)
    largest: npt.NDArray[np.float64] = moved.reshape(*source.shape[:-1], -1, group_size).max(axis=-1)
    return largest


def _zeroed(source: Floats, actual: Floats, group_size: int) -> int:
    """Count groups that became all zeros although the source's are not."""
    shape = (*source.shape[:-1], -1, group_size)
    alive = np.abs(source).reshape(shape).max(axis=-1) > 0
    gone = np.abs(actual).reshape(shape).max(axis=-1) == 0
    return int((alive & gone).sum())


def _span(part: Slice) -> str:
    if part.place is not None and part.stop - part.start == 1:
        return f"expert {part.start}"
    return f"{'experts' if part.place else 'rows'} {part.start} to {part.stop}"


def _place(part: Slice, unit: int, shape: tuple[int, ...]) -> str:
    """Say where a unit (a group, or an element of a plain tensor) stands."""
    size = part.parameter.group_size or 1
    grid = (*shape[:-1], shape[-1] // size)
    first, *others = (int(i) for i in np.unravel_index(unit, grid))
    first += part.start
    where = [f"expert {first}"] if part.place is not None else [f"row {first}"]
    if part.place is not None and others:
        where.append(f"row {others.pop(0)}")
    if others:
        last = others.pop()
        where += [f"{'group' if size > 1 else 'column'} {last}"]
    return ", ".join(where)
