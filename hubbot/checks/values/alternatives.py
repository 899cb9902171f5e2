"""Wrong readings of a source that pass every check of names and shapes, and whether an artifact fits one better.

Every expert that is no exact match is compared with all others of its layer, and gate with up in both
directions, by random projections; it and its suspects are compared with every wrong reading row by row. A reading
counts only where it differs from the true source by more than twice the error bound.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hubbot.artifacts import Finding
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.readers.tensor_files import Floats, Values, widen
from hubbot.checks.values import error_measure, finding
from hubbot.checks.values.compared_slices import Slice, Slices, rows_of, seeded_rows
from hubbot.checks.values.error_measure import WorstError
from hubbot.checks.values.random_projections import RandomProjections

Alternative = tuple[str, Floats]
Rows = npt.NDArray[np.int64]
_OTHER = {"gate": "up", "up": "gate"}
_PROJECTIONS = ("gate", "up", "down")
# Of the experts that differ, as many are looked at closely: one is enough to refuse.
EXAMINED = 4
LARGEST_CONTRASTED = 1 << 26


class AlternativesCheck:
    """Checks one parameter after another; it keeps the projections of gate until those of up are there."""

    def __init__(self, expected: Expectations, stored: StoredParameters, slices: Slices) -> None:
        self._expected = expected
        self._slices = slices
        self._shapes = {p.name: p.shape for p in stored.by_name.values()}
        self._seen: dict[ExpertPlace, RandomProjections] = {}
        self._parameters: dict[ExpertPlace, StoredParameter] = {}

    def experts(
        self, place: ExpertPlace, parameter: StoredParameter, projections: RandomProjections, worst: WorstError
    ) -> Iterator[Finding]:
        """Yield findings on readings of the source that fit an expert better than the true one."""
        self._seen[place], self._parameters[place] = projections, parameter
        yield from self._twins(place)
        suspects = dict(projections.suspects())
        asked = [(place, expert) for expert in (*sorted(suspects)[:EXAMINED], *worst.experts[:EXAMINED])]
        other = replace(place, projection=_OTHER.get(place.projection, ""))
        if other in self._seen:
            asked += [(place, e) for e in projections.strangers(self._seen[other])][:EXAMINED]
            asked += [(other, e) for e in self._seen[other].strangers(projections)][:EXAMINED]
        objections_at: dict[ExpertPlace, list[tuple[int, str]]] = {place: []}
        for where, expert in dict.fromkeys(asked):
            neighbour = {suspects[expert]} if where == place and expert in suspects else set()
            objection = self._objection(where, expert, neighbour)
            if objection:
                objections_at.setdefault(where, []).append((expert, objection))
        for where, objections in objections_at.items():
            yield self._contrasted(where, objections)

    def _objection(self, place: ExpertPlace, expert: int, others: set[int]) -> str | None:
        parameter = self._parameters[place]
        part = Slice(parameter=parameter, place=place, start=expert, stop=expert + 1)
        whole = self._slices.stored_source(part, expert)
        rows = seeded_rows(len(whole.raw))
        source = _rows_of(whole, rows)
        actual = error_measure.decoded(parameter, rows_of(self._slices.parts(part), rows))[0]
        bound = error_measure.bound_of(parameter, source)
        wrong = alternatives(self._expected, place, expert, sorted(others), rows)
        return objection_to(actual, source, bound, wrong)

    def _contrasted(self, place: ExpertPlace, objections: list[tuple[int, str]]) -> Finding:
        parameter = self._parameters[place]
        if objections:
            expert, what = objections[0]
            where = f"{parameter.name}, expert {expert}"
            return finding("contrast", where, len(objections), 0, "fail", what)
        reason = f"{parameter.shape[0]} experts fit their own source and no other reading of it"
        return finding("contrast", parameter.name, 0, 0, "pass", reason)

    def _twins(self, place: ExpertPlace) -> Iterator[Finding]:
        twins = self._seen[place].twins()
        if not twins:
            return
        one, other = twins[0]
        if np.array_equal(self._expected.expert(place, one), self._expected.expert(place, other)):
            yield finding(
                "identical experts", f"{self._parameters[place].name}, expert {other}", len(twins), 0, "pass",
                f"a warning: in the source it holds the same numbers as expert {one}",
            )  # fmt: skip

    def plain(self, parameter: StoredParameter) -> Iterator[Finding]:
        """Yield a finding if a plain parameter that is not its source is another parameter of the source."""
        if not parameter.shape or int(np.prod(parameter.shape)) > LARGEST_CONTRASTED:
            return
        whole = Slice(parameter=parameter, place=None, start=0, stop=parameter.shape[0])
        rows = seeded_rows(parameter.shape[0])
        source = self._slices.source(whole)[rows]
        actual = error_measure.decoded(parameter, self._slices.parts(whole))[rows]
        wrong = elsewhere(self._expected, parameter.name, self._shapes, rows)
        bound = error_measure.bound_of(parameter, source)
        objection = objection_to(actual, source, bound, wrong)
        if objection:
            yield finding("contrast", parameter.name, 1, 0, "fail", objection)


def alternatives(
    expected: Expectations, place: ExpertPlace, expert: int, others: Iterable[int], rows: Rows
) -> Iterator[Alternative]:
    """Yield (what would be wrong, the source's `rows` of an expert's projection read that way, [rows, in])."""
    whole = Values(*expected.stored_expert(place, expert))
    if place.projection in _OTHER:
        gate, up = (Values(*expected.stored_expert(_at(place, name), expert)) for name in ("gate", "up"))
        half, height = (0 if place.projection == "gate" else 1), len(gate.raw)
        yield "gate and up are swapped", _rows_of(up if half == 0 else gate, rows)
        fused = 2 * rows + half
        mixed = _mixed(fused < height, _rows_of(gate, fused % height), _rows_of(up, fused % height))
        yield "the halves are taken as interleaved", mixed
        pair = half * height + rows
        yield (
            "interleaved rows are taken as halves",
            _mixed(pair % 2 == 0, _rows_of(gate, pair // 2), _rows_of(up, pair // 2)),
        )
    for other in others:
        yield f"it is expert {other}", _rows_of(Values(*expected.stored_expert(place, other)), rows)
    if whole.raw.ndim == 2 and whole.raw.shape[0] == whole.raw.shape[1]:
        yield "it is transposed", widen(np.ascontiguousarray(whole.raw[:, rows].T), whole.dtype)
    for name in _PROJECTIONS:
        if name != place.projection and _OTHER.get(name) != place.projection:
            there = Values(*expected.stored_expert(_at(place, name), expert))
            if there.raw.shape == whole.raw.shape:
                yield f"it is the {name} projection", _rows_of(there, rows)


def _rows_of(values: Values, rows: Rows) -> Floats:
    return widen(values.raw[rows], values.dtype)


def _mixed(from_one: npt.NDArray[np.bool_], one: Floats, other: Floats) -> Floats:
    """Return the rows of `one` where `from_one` says so, else those of `other`, all [rows, ...]."""
    return np.where(from_one.reshape(-1, *[1] * (one.ndim - 1)), one, other)


def elsewhere(
    expected: Expectations, parameter: str, shapes: dict[str, tuple[int, ...]], rows: Rows
) -> Iterator[Alternative]:
    """Yield the `rows` [rows, ...] of every other plain parameter of the same shape, and of the transposed one."""
    shape = shapes[parameter]
    for name, other in shapes.items():
        if name != parameter and other == shape and expected.place(name) is None and expected.source_name(name):
            yield f"it is {name}", expected.rows(name, 0, shape[0])[rows]
    if len(shape) == 2 and shape[0] == shape[1]:
        yield "it is transposed", np.ascontiguousarray(expected.rows(parameter, 0, shape[0]).T)[rows]


def objection_to(
    actual: Floats, source: Floats, bound: npt.NDArray[np.float64], wrong: Iterator[Alternative]
) -> str | None:
    """Return what the artifact's rows look like instead of the source's, or None where the source fits best.

    `actual`, `source` and the alternatives are float32 [rows, in], `bound` is the allowed error [rows, groups].
    """
    limit = 2 * bound.max(initial=0.0)
    error = _distance(actual, source)
    best: tuple[float, str] | None = None
    for what, other in _readable(wrong):
        differs = np.abs(other.astype(np.float64) - source).max(initial=0.0) > limit
        distance = _distance(actual, other) if differs else np.inf
        if distance <= error and (best is None or distance < best[0]):
            best = (distance, what)
    return best[1] if best else None


def _readable(wrong: Iterator[Alternative]) -> Iterator[Alternative]:
    """Yield the alternatives, as far as the source's files are here: some may come later or be released."""
    with suppress(FileNotFoundError):
        yield from wrong


def _at(place: ExpertPlace, projection: str) -> ExpertPlace:
    return replace(place, projection=projection)


def _distance(one: Floats, other: Floats) -> float:
    return float(np.square(one.astype(np.float64) - other).sum())
