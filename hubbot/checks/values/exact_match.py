"""Compares a slice with exactly what its source quantizes to: plain ones bit by bit, quantized ones by group.

It finds a single code that is off by one, which no error bound can. It computes in float32, block by block in the
cache, and knows neither where the slices come from nor what a difference means.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.artifact_parameters import StoredParameter
from hubbot.checks.readers.packed_words import unpack
from hubbot.checks.readers.tensor_files import FLOATS, Floats, bits, narrow, widen
from hubbot.checks.values import affine_codes, first_sight, fp4_fp8
from hubbot.checks.values.affine_codes import Mask

# Elements at a time: their temporaries stay in a core's second cache.
BLOCK = 1 << 17
Parts = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A slice against its source: what differs, [units] (a unit is a group, or an element of a plain slice).

    `ties` units differ only as a device may round, or are a packed source's own codes; `zeroed` groups lost
    weights to a scale of zero, `saturated` ones to the largest scale there is; `finite` says whether source and
    slice hold numbers only.
    """

    wrong: Mask
    ties: int
    zeroed: int
    saturated: int
    finite: bool

    @property
    def differs(self) -> bool:
        """Say whether the slice must be looked at more closely."""
        return not self.finite or bool(self.wrong.any()) or self.zeroed > 0 or self.saturated > 0


def match(parameter: StoredParameter, source: Floats, parts: Parts, *, also_dtype: str, exact: bool) -> Match:
    """Compare `source`, float32 [..., in], with the stored `parts` [..., words] of the same rows.

    `also_dtype` is the dtype that whoever made the artifact may have brought the source to before quantizing;
    `exact` says that the source has the dtype of the scales, so that nothing was rounded before.
    """
    if parameter.mode == "none":
        return _plain(source, parts["weight"], parameter.dtype)
    found = _quantized(parameter, source, parts, also_dtype, exact=exact)
    # Whatever holds no number is wrong for a start.
    return replace(found, finite=False) if found.wrong.any() and not _is_finite(source) else found


def _quantized(parameter: StoredParameter, source: Floats, parts: Parts, also_dtype: str, *, exact: bool) -> Match:
    if parameter.mode == "affine":
        rounded = source if exact else _as(source, parameter.dtype)
        fitting = joined(list(_affine(parameter, rounded, parts)))
        return fitting if rounded is source else _but_kept(fitting, parameter, source, parts)
    found = joined(list(_micro(parameter, source, parts)))
    if found.wrong.any() and not exact and also_dtype in {"BF16", "F16"}:
        again = joined(list(_micro(parameter, _as(source, also_dtype), parts)))
        return again if again.wrong.sum() < found.wrong.sum() else found
    return found


# Up to here every whole number is a float32; tables of tokens and experts hold none beyond.
_MOST_EXACT = 1 << 24


def _plain(source: Floats, raw: npt.NDArray[Any], dtype: str) -> Match:
    if dtype not in FLOATS:
        differs = (widen(raw, dtype) != source) | (np.abs(raw) >= _MOST_EXACT)
        return Match(wrong=differs.reshape(-1), ties=0, zeroed=0, saturated=0, finite=True)
    stored = bits(raw)
    # Widening is exact and cheaper than rounding; most tensors keep their source's dtype.
    wrong = widen(raw, dtype).view(np.uint32) != source.view(np.uint32)
    if wrong.any():
        wrong = narrow(source, dtype) != stored
    return Match(wrong=wrong.reshape(-1), ties=0, zeroed=0, saturated=0, finite=_is_finite(source))


def _but_kept(found: Match, parameter: StoredParameter, source: Floats, parts: Parts) -> Match:
    """Take back what decodes to the very source, before it was rounded: codes that a packed source had."""
    if not found.wrong.any():
        return found
    exact = np.concatenate([affine_codes.is_exact(groups) for groups in _affine_groups(parameter, source, parts)])
    kept = int((found.wrong & exact).sum())
    return replace(found, wrong=found.wrong & ~exact, ties=found.ties + kept)


def _affine(parameter: StoredParameter, source: Floats, parts: Parts) -> Iterator[Match]:
    size, bits, dtype = parameter.group_size, parameter.bits, parameter.dtype
    weights, words = source.reshape(-1, size), parts["weight"].reshape(-1, size * bits // 32)
    scales, biases = (widen(parts[name], dtype).reshape(-1) for name in ("scales", "biases"))
    fit = first_sight.fits_at_once(weights, words, scales, biases, bits=bits, dtype=dtype)
    if fit is None:
        for groups in _affine_groups(parameter, source, parts):
            wrong, ties = affine_codes.unexplained(groups, bits=bits, dtype=dtype)
            yield Match(wrong=wrong, ties=ties, zeroed=0, saturated=0, finite=True)
        return
    wrong, ties = ~fit, 0
    some = np.flatnonzero(wrong)
    if len(some):
        groups = affine_codes.Groups(
            weights=weights[some], codes=unpack(words[some], bits), scales=scales[some], biases=biases[some]
        )
        wrong[some], ties = affine_codes.unexplained(groups, bits=bits, dtype=dtype)
    yield Match(wrong=wrong, ties=ties, zeroed=0, saturated=0, finite=True)


def _affine_groups(parameter: StoredParameter, source: Floats, parts: Parts) -> Iterator[affine_codes.Groups]:
    size = parameter.group_size
    scales = widen(parts["scales"], parameter.dtype).reshape(-1)
    biases = widen(parts["biases"], parameter.dtype).reshape(-1)
    for rows, weights, codes in _blocks(parameter, source, parts["weight"]):
        yield affine_codes.Groups(
            weights=weights.reshape(-1, size),
            codes=codes.reshape(-1, size),
            scales=scales[rows],
            biases=biases[rows],
        )


def _micro(parameter: StoredParameter, source: Floats, parts: Parts) -> Iterator[Match]:
    size = parameter.group_size
    scales = parts["scales"].reshape(-1)
    wholes = _wholes(parts, len(scales))
    kernel = first_sight.micro_kernel(source.size)
    if kernel is not None:
        weights, mode, bits = source.reshape(-1, size), parameter.mode, parameter.bits
        yield _of(fp4_fp8.judge_packed(kernel, weights, parts["weight"], scales, wholes, mode=mode, bits=bits))
        return
    for rows, weights, codes in _blocks(parameter, source, parts["weight"]):
        groups = fp4_fp8.Groups(
            weights=weights.reshape(-1, size),
            codes=codes.reshape(-1, size),
            scales=scales[rows],
            global_scales=None if wholes is None else wholes[rows],
        )
        yield _of(fp4_fp8.judge(groups, mode=parameter.mode, bits=parameter.bits))


def _of(seen: fp4_fp8.Seen) -> Match:
    return Match(wrong=seen.wrong, ties=seen.ties, zeroed=seen.zeroed, saturated=seen.saturated, finite=True)


def _wholes(parts: Parts, groups: int) -> Floats | None:
    whole = parts.get("global_scale")
    return None if whole is None else np.repeat(whole.reshape(-1).astype(np.float32), groups // max(1, whole.size))


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
    return Match(
        wrong=np.concatenate([match.wrong for match in matches]),
        ties=sum(match.ties for match in matches),
        zeroed=sum(match.zeroed for match in matches),
        saturated=sum(match.saturated for match in matches),
        finite=all(match.finite for match in matches),
    )
