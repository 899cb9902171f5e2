"""Gate 3: every number of the artifact is the source's number, as exactly as its encoding allows.

Every element of every parameter, in slices. mx.dequantize does the bulk; on seeded rows of every expert an
independent numpy decoder must agree with it, and the wrong readings of the source must fit clearly worse.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hubbot.artifacts import Finding, Status
from hubbot.checks import contrasts
from hubbot.checks.bounds import error_bound
from hubbot.checks.decoding import decode
from hubbot.checks.expectations import Expectations, ExpertPlace
from hubbot.checks.stored import StoredParameter, StoredParameters
from hubbot.checks.tensorfiles import Floats, bits, narrow, widen
from hubbot.device import runtime
from hubbot.progress import Progress

GATE = "values"
SEEDED_ROWS = 64
SLICE_BYTES = 32 << 20
SEED = 20_26


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows of one parameter: `actual` decoded to float32, `raw` the plain tensor's bits (None if quantized)."""

    actual: Floats
    raw: npt.NDArray[np.uint32] | None
    crosscheck: float


@dataclass(slots=True, kw_only=True)
class Worst:
    """The worst seen of one parameter: `ratio` is error over bound, `at` says where."""

    ratio: float = 0.0
    error: float = 0.0
    bound: float = 0.0
    at: str = ""
    not_finite: str = ""
    crosscheck: float = 0.0
    zeroed: int = 0


def check_values(expected: Expectations, stored: StoredParameters, progress: Progress) -> Iterator[Finding]:
    """Yield one finding per parameter, and further ones for contrasts and for anything without a source."""
    parameters = list(stored.by_name.values())
    for index, parameter in enumerate(parameters):
        progress(index, len(parameters), parameter.name)
        place = expected.place(parameter.name)
        if place is None:
            yield from _check_plain(expected, stored, parameter)
        else:
            yield from _check_experts(expected, stored, parameter, place)
    lost = expected.unused(set(stored.by_name))
    yield _finding(
        "source used", lost[0] if lost else "all source tensors", len(lost), 0, "fail" if lost else "pass",
        "no parameter of the artifact holds it" if lost else f"{len(expected.dropped)} dropped by rule",
    )  # fmt: skip


def _check_plain(
    expected: Expectations, stored: StoredParameters, parameter: StoredParameter
) -> Iterator[Finding]:
    if expected.source_name(parameter.name) is None:
        yield _finding("source", parameter.name, "none", "one tensor", "fail", "nothing in the source makes it")
        return
    worst = Worst()
    lead = parameter.shape[0] if parameter.shape else 1
    step = max(1, SLICE_BYTES // max(1, 4 * int(np.prod(parameter.shape[1:], dtype=np.int64))))
    for start in range(0, lead, step):
        stop = min(lead, start + step)
        source = expected.rows(parameter.name, start, stop)
        found = _read(stored, parameter, start, stop)
        if source.shape != found.actual.shape:
            shapes = (list(found.actual.shape), list(source.shape))
            yield _finding("shape", parameter.name, *shapes, "fail", "not the source's shape")
            return
        _compare(worst, parameter, source, found, f"rows {start} to {stop}")
    yield _verdict(parameter, worst)


def _check_experts(
    expected: Expectations, stored: StoredParameters, parameter: StoredParameter, place: ExpertPlace
) -> Iterator[Finding]:
    count = expected.experts_at(place)
    if count != parameter.shape[0]:
        yield _finding(
            "experts", parameter.name, parameter.shape[0], count, "fail", "not the source's number of experts"
        )
        return
    worst = Worst()
    objections = []
    generator = np.random.default_rng(SEED)
    for expert in range(count):
        source = expected.expert(place, expert)
        found = _read(stored, parameter, expert, expert + 1)
        if source.shape != found.actual.shape[1:]:
            shapes = (list(found.actual.shape[1:]), list(source.shape))
            yield _finding(
                "shape", f"{parameter.name}, expert {expert}", *shapes, "fail", "not the source's shape"
            )
            return
        _compare(worst, parameter, source[None], found, f"expert {expert}")
        rows = np.sort(generator.permutation(source.shape[0])[:SEEDED_ROWS])
        bound = _bound(parameter, source[rows])
        objection = contrasts.objection(
            found.actual[0][rows],
            source[rows],
            bound,
            contrasts.alternatives(expected, place, expert, count, rows),
        )
        if objection:
            objections.append((expert, objection))
    yield _verdict(parameter, worst)
    where = f"{parameter.name}, expert {objections[0][0]}" if objections else parameter.name
    text = objections[0][1] if objections else ""
    yield _finding(
        "contrast", where, len(objections), 0,
        "fail" if objections else "pass", text or f"{count} experts fit the true source and no other reading",
    )  # fmt: skip


def _read(stored: StoredParameters, parameter: StoredParameter, start: int, stop: int) -> Slice:
    parts = stored.parts(parameter, start, stop)
    if parameter.mode == "none":
        return Slice(actual=widen(parts["weight"], parameter.dtype), raw=bits(parts["weight"]), crosscheck=0.0)
    settings = {
        "mode": parameter.mode,
        "bits": parameter.bits,
        "group_size": parameter.group_size,
        "scale_dtype": parameter.dtype,
    }
    actual = runtime.dequantize(parts, **settings)  # type: ignore[arg-type]
    sample = {name: part[..., :SEEDED_ROWS, :] if part.ndim > 1 else part for name, part in parts.items()}
    again = decode(sample, **settings)  # type: ignore[arg-type]
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(again - actual[..., :SEEDED_ROWS, :]).max(initial=0.0))
    return Slice(actual=actual, raw=None, crosscheck=difference)


def _compare(worst: Worst, parameter: StoredParameter, source: Floats, found: Slice, where: str) -> None:
    worst.crosscheck = max(worst.crosscheck, found.crosscheck)
    if not worst.not_finite and not (np.isfinite(found.actual).all() and np.isfinite(source).all()):
        worst.not_finite = where
        return
    if found.raw is not None:
        wanted = narrow(source, parameter.dtype)
        differing = int((wanted != found.raw).sum())
        if differing and not worst.ratio:
            worst.ratio, worst.error = np.inf, float(np.abs(source - found.actual).max())
            worst.at = f"{where}: {differing} elements"
        return
    bound = _bound(parameter, source)
    error = np.abs(source.astype(np.float64) - found.actual)
    per_group = error.reshape(*bound.shape, parameter.group_size).max(axis=-1)
    worst.zeroed += _zeroed(source, found.actual, parameter.group_size) if parameter.mode != "affine" else 0
    ratio = per_group / np.maximum(bound, np.finfo(np.float64).tiny)
    place = np.unravel_index(int(ratio.argmax()), ratio.shape)
    if ratio[place] > worst.ratio:
        worst.ratio, worst.error, worst.bound = float(ratio[place]), float(per_group[place]), float(bound[place])
        worst.at = f"{where}, group {tuple(int(i) for i in place)}"


def _bound(parameter: StoredParameter, source: Floats) -> npt.NDArray[np.float64]:
    if parameter.mode == "none":
        return np.zeros(source.shape, np.float64)
    # The converter rounds to the scales' dtype before it quantizes, as mlx_lm.convert does.
    rounded = (
        widen(_as_stored(narrow(source, parameter.dtype), parameter.dtype), parameter.dtype)
        if (parameter.mode == "affine")
        else source
    )
    return error_bound(
        rounded,
        mode=parameter.mode,
        bits=parameter.bits,
        group_size=parameter.group_size,
        scale_dtype=parameter.dtype,
    ) + _rounding(source, rounded, parameter.group_size)


def _rounding(source: Floats, rounded: Floats, group_size: int) -> npt.NDArray[np.float64]:
    moved = np.abs(source.astype(np.float64) - rounded)
    largest: npt.NDArray[np.float64] = moved.reshape(*source.shape[:-1], -1, group_size).max(axis=-1)
    return largest


def _as_stored(raw: npt.NDArray[np.uint32], dtype: str) -> npt.NDArray[np.float32]:
    return raw.view({"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[dtype])


def _zeroed(source: Floats, actual: Floats, group_size: int) -> int:
    """Count groups that became all zeros although the source's are not."""
    shape = (*source.shape[:-1], -1, group_size)
    alive = np.abs(source).reshape(shape).max(axis=-1) > 0
    gone = np.abs(actual).reshape(shape).max(axis=-1) == 0
    return int((alive & gone).sum())


def _verdict(parameter: StoredParameter, worst: Worst) -> Finding:
    name = parameter.name
    if worst.not_finite:
        return _finding("finite", name, f"NaN or infinity, {worst.not_finite}", "finite", "fail", "not a number")
    if worst.crosscheck > 0:
        return _finding("decoders agree", name, worst.crosscheck, 0.0, "fail", "mx.dequantize and numpy differ")
    if worst.zeroed:
        return _finding("zeroed groups", name, worst.zeroed, 0, "fail", "groups with non-zero weights became zero")
    if worst.ratio > 1.0:
        kind = "not the expected bytes" if parameter.mode == "none" else "beyond the encoding's bound"
        return _finding("values", name, worst.error, worst.bound, "fail", f"{kind}, {worst.at}")
    encoding = parameter.dtype if parameter.mode == "none" else f"{parameter.mode} {parameter.bits} bits"
    return _finding("values", name, worst.error, worst.bound, "pass", f"{encoding}, every element")


def _finding(check: str, subject: str, measured: object, allowed: object, status: Status, reason: str) -> Finding:
    return Finding(
        gate=GATE, check=check, subject=subject, measured=measured, allowed=allowed, status=status, reason=reason
    )
