"""Compares a slice with exactly what its source quantizes to: plain ones bit by bit, quantized ones by group.

It finds a single code that is off by one, which no error bound can. Compiled kernels say which groups fit at first
sight; the others, and all where there are none, are judged in numpy, in float32. It knows neither where the slices
come from nor what a difference means.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.artifact_parameters import StoredParameter
from hubbot.checks.readers.packed_words import unpack
from hubbot.checks.readers.tensor_files import FLOATS, Floats, Values, bits, narrow, widen
from hubbot.checks.values import affine_codes, first_sight, fp4_fp8
from hubbot.checks.values.affine_codes import Mask
from hubbot.checks.values.first_sight import wholes_of

# Elements at a time: their temporaries stay in a core's second cache.
BLOCK = 1 << 17
Parts = Mapping[str, npt.NDArray[Any]]
Positions = npt.NDArray[np.int64]
_NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A slice against its source: `wrong` are those of its `units` that differ, int64 [some], in order.

    A unit is a group, or an element of a plain slice. `ties` units differ only as a device may round, or are a
    packed source's own codes; `zeroed` groups lost weights to a scale of zero, `saturated` ones to the largest
    scale there is; `finite` says whether source and slice hold numbers only.
    """

    units: int
    wrong: Positions
    ties: int
    zeroed: int
    saturated: int
    finite: bool

    @property
    def differs(self) -> bool:
        """Say whether the slice must be looked at more closely."""
        return not self.finite or self.wrong.size > 0 or self.zeroed > 0 or self.saturated > 0


def match(parameter: StoredParameter, source: Values, parts: Parts, *, also_dtype: str, exact: bool) -> Match:
    """Compare `source` [..., in] with the stored `parts` [..., words] of the same rows.

    `also_dtype` is the dtype that whoever made the artifact may have brought the source to before quantizing;
    `exact` says that the source has the dtype of the scales, so that nothing was rounded before.
    """
    if parameter.mode == "none":
        return _plain(source, parts["weight"], parameter.dtype)
    if parameter.mode == "affine":
        found = _affine(parameter, source, parts, exact=exact)
    else:
        found = _micro(parameter, source, parts, also_dtype, exact=exact)
    # Whatever holds no number is wrong for a start.
    return replace(found, finite=False) if found.wrong.size and not _is_finite(source.floats()) else found


# Up to here every whole number is a float32; tables of tokens and experts hold none beyond.
_MOST_EXACT = 1 << 24


def _plain(source: Values, raw: npt.NDArray[Any], dtype: str) -> Match:
    if source.dtype == dtype and first_sight.is_copy(source, raw):
        return Match(units=raw.size, wrong=_NONE, ties=0, zeroed=0, saturated=0, finite=True)
    floats = source.floats()
    if dtype not in FLOATS:
        differs = (widen(raw, dtype) != floats) | (np.abs(raw) >= _MOST_EXACT)
        return _found(differs.reshape(-1))
    # Widening is exact and cheaper than rounding; most tensors keep their source's dtype.
    wrong = widen(raw, dtype).view(np.uint32) != floats.view(np.uint32)
    if wrong.any():
        wrong = narrow(floats, dtype) != bits(raw)
    return replace(_found(wrong.reshape(-1)), finite=_is_finite(floats))


def _found(wrong: Mask, ties: int = 0) -> Match:
    positions = np.flatnonzero(wrong)
    return Match(units=wrong.size, wrong=positions, ties=ties, zeroed=0, saturated=0, finite=True)


def _affine(parameter: StoredParameter, source: Values, parts: Parts, *, exact: bool) -> Match:
    dtype = parameter.dtype
    is_rounded = not exact and dtype not in {source.dtype, "F32"}
    known = source
    if is_rounded and dtype == "F16":  # which kernels cannot round to
        known, is_rounded = Values(_as(source.floats(), dtype), "F32"), False
    left = first_sight.left(parameter, known, parts, is_rounded=is_rounded)
    if left is not None and not left.any():
        return _found(left)
    floats = source.floats()
    rounded = floats if exact else _as(floats, dtype)
    if left is None:
        fitting = joined(
            [_of_affine(parameter, groups) for _, groups in _affine_blocks(parameter, rounded, parts)]
        )
    else:
        fitting = _at(left, _of_affine(parameter, _affine_groups(parameter, rounded, parts, np.flatnonzero(left))))
    return fitting if rounded is floats else _but_kept(fitting, parameter, floats, parts)


def _of_affine(parameter: StoredParameter, groups: affine_codes.Groups) -> Match:
    wrong, ties = affine_codes.unexplained(groups, bits=parameter.bits, dtype=parameter.dtype)
    return _found(wrong, ties)


def _but_kept(found: Match, parameter: StoredParameter, source: Floats, parts: Parts) -> Match:
    """Take back what decodes to the very source, before it was rounded: codes that a packed source had."""
    if not found.wrong.size:
        return found
    exact = affine_codes.is_exact(_affine_groups(parameter, source, parts, found.wrong))
    return replace(found, wrong=found.wrong[~exact], ties=found.ties + int(exact.sum()))


def _affine_groups(
    parameter: StoredParameter, source: Floats, parts: Parts, which: Positions
) -> affine_codes.Groups:
    """Return the groups `which` of a slice."""
    size, width = parameter.group_size, parameter.bits
    scales, biases = (widen(parts[name].reshape(-1)[which], parameter.dtype) for name in ("scales", "biases"))
    return affine_codes.Groups(
        weights=source.reshape(-1, size)[which],
        codes=unpack(parts["weight"].reshape(-1, size * width // 32)[which], width),
        scales=scales,
        biases=biases,
    )


def _affine_blocks(
    parameter: StoredParameter, source: Floats, parts: Parts
) -> Iterator[tuple[slice, affine_codes.Groups]]:
    size = parameter.group_size
    scales = widen(parts["scales"], parameter.dtype).reshape(-1)
    biases = widen(parts["biases"], parameter.dtype).reshape(-1)
    for rows, weights, codes in _blocks(parameter, source, parts["weight"]):
        groups = affine_codes.Groups(
            weights=weights.reshape(-1, size),
            codes=codes.reshape(-1, size),
            scales=scales[rows],
            biases=biases[rows],
        )
        yield rows, groups


def _micro(parameter: StoredParameter, source: Values, parts: Parts, also_dtype: str, *, exact: bool) -> Match:
    may_round = not exact and also_dtype in {"BF16", "F16"} and source.dtype != also_dtype
    if may_round and also_dtype == "BF16":
        # Most likely it was rounded; should another reading fit better, it is found below.
        left = first_sight.left(parameter, source, parts, is_rounded=True)
        if left is not None:
            rounded = _micro_left(parameter, source, parts, left, also_dtype)
            if not rounded.wrong.size:
                return rounded
    left = first_sight.left(parameter, source, parts, is_rounded=False)
    found = _micro_left(parameter, source, parts, left, None)
    if found.wrong.size and may_round:
        again = _micro_left(parameter, source, parts, None, also_dtype)
        return again if again.wrong.size < found.wrong.size else found
    return found


def _micro_left(
    parameter: StoredParameter, source: Values, parts: Parts, left: Mask | None, dtype: str | None
) -> Match:
    """Judge the groups `left` (None: all) of a source rounded to `dtype` (None: as it is) in numpy."""
    if left is not None and not left.any():
        return _found(left)
    floats = source.floats() if dtype is None else _as(source.floats(), dtype)
    size, scales = parameter.group_size, parts["scales"].reshape(-1)
    wholes = wholes_of(parts, len(scales))
    if left is not None:
        which = np.flatnonzero(left)
        groups = fp4_fp8.Groups(
            weights=floats.reshape(-1, size)[which],
            codes=unpack(parts["weight"].reshape(-1, size * parameter.bits // 32)[which], parameter.bits),
            scales=scales[which],
            global_scales=None if wholes is None else wholes[which],
        )
        return _at(left, _of_micro(parameter, groups))
    matches = []
    for rows, weights, codes in _blocks(parameter, floats, parts["weight"]):
        groups = fp4_fp8.Groups(
            weights=weights.reshape(-1, size),
            codes=codes.reshape(-1, size),
            scales=scales[rows],
            global_scales=None if wholes is None else wholes[rows],
        )
        matches.append(_of_micro(parameter, groups))
    return joined(matches)


def _of_micro(parameter: StoredParameter, groups: fp4_fp8.Groups) -> Match:
    seen = fp4_fp8.judge(groups, mode=parameter.mode, bits=parameter.bits)
    return replace(_found(seen.wrong, seen.ties), zeroed=seen.zeroed, saturated=seen.saturated)


def _at(left: Mask, some: Match) -> Match:
    """Return the match of a slice from that of the groups `left` of it, all others being right."""
    return replace(some, units=left.size, wrong=np.flatnonzero(left)[some.wrong])


def _blocks(
    parameter: StoredParameter, source: Floats, packed: npt.NDArray[Any]
) -> Iterator[tuple[slice, Any, Any]]:
    """Yield (groups, weights, codes) of one block of rows after the other."""
    width = source.shape[-1]
    rows, words = source.reshape(-1, width), packed.reshape(-1, packed.shape[-1])
    per_row = width // parameter.group_size
    step = max(1, BLOCK // width)
    for start in range(0, len(rows), step):
        stop = min(len(rows), start + step)
        yield slice(start * per_row, stop * per_row), rows[start:stop], unpack(words[start:stop], parameter.bits)


def _as(values: Floats, dtype: str) -> Floats:
    """Return float32 values rounded to `dtype`; the very array where they are so already."""
    if dtype == "F32" or (dtype == "BF16" and not (values.view(np.uint32) & np.uint32(0xFFFF)).any()):
        return values
    raw = narrow(values, dtype)
    return widen(raw.view(np.float16) if dtype == "F16" else raw, dtype)


def _is_finite(source: Floats) -> bool:
    # A NaN or infinity is the largest or smallest number, or spoils both.
    return bool(np.isfinite(source.max(initial=0)) and np.isfinite(source.min(initial=0)))


def joined(matches: list[Match]) -> Match:
    """Return consecutive matches as one."""
    starts = np.cumsum([0, *(match.units for match in matches)])
    return Match(
        units=int(starts[-1]),
        wrong=np.concatenate(
            [match.wrong + start for match, start in zip(matches, starts, strict=False)] or [_NONE]
        ),
        ties=sum(match.ties for match in matches),
        zeroed=sum(match.zeroed for match in matches),
        saturated=sum(match.saturated for match in matches),
        finite=all(match.finite for match in matches),
    )
