"""Contrasts: does another reading of the source fit an expert as well as the true one? Then it is refused.

Every expert is compared with all others of its layer, and gate with up in both directions, by signatures on
seeded rows; suspects and experts that differ anyhow are compared with every wrong reading row by row.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hubbot.artifacts import Finding, Status
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.values import alternatives, error_measure
from hubbot.checks.values.compared_slices import Slice, Slices, seeded_rows
from hubbot.checks.values.error_measure import Worst
from hubbot.checks.values.random_projections import Signatures

GATE = "values"
# Of the experts that differ, as many are looked at closely: one is enough to refuse.
EXAMINED = 4
LARGEST_CONTRASTED = 1 << 26
_OTHER = {"gate": "up", "up": "gate"}


class Contrasting:
    """What is known while the parameters go by: signatures of gate projections wait for those of up."""

    def __init__(self, expected: Expectations, stored: StoredParameters, slices: Slices) -> None:
        self._expected = expected
        self._slices = slices
        self._shapes = {p.name: p.shape for p in stored.by_name.values()}
        self._seen: dict[ExpertPlace, Signatures] = {}
        self._parameters: dict[ExpertPlace, StoredParameter] = {}

    def experts(
        self, place: ExpertPlace, parameter: StoredParameter, signatures: Signatures, worst: Worst
    ) -> Iterator[Finding]:
        """Yield findings on readings of the source that fit an expert better than the true one."""
        self._seen[place], self._parameters[place] = signatures, parameter
        yield from self._twins(place)
        suspects = dict(signatures.suspects())
        asked = [(place, expert) for expert in (*sorted(suspects)[:EXAMINED], *worst.experts[:EXAMINED])]
        other = replace(place, projection=_OTHER.get(place.projection, ""))
        if other in self._seen:
            asked += [(place, e) for e in signatures.strangers(self._seen[other])][:EXAMINED]
            asked += [(other, e) for e in self._seen[other].strangers(signatures)][:EXAMINED]
        told: dict[ExpertPlace, list[tuple[int, str]]] = {place: []}
        for where, expert in dict.fromkeys(asked):
            neighbour = {suspects[expert]} if where == place and expert in suspects else set()
            objection = self._objection(where, expert, neighbour)
            if objection:
                told.setdefault(where, []).append((expert, objection))
        for where, objections in told.items():
            yield self._contrasted(where, objections)

    def _objection(self, place: ExpertPlace, expert: int, others: set[int]) -> str | None:
        parameter = self._parameters[place]
        part = Slice(parameter=parameter, place=place, start=expert, stop=expert + 1)
        source = self._slices.source(part)[0]
        rows = seeded_rows(len(source))
        actual = error_measure.decoded(parameter, self._slices.parts(part))[0]
        bound = error_measure.bound_of(parameter, source[rows])
        wrong = alternatives.alternatives(self._expected, place, expert, sorted(others), rows)
        return alternatives.objection(actual[rows], source[rows], bound, wrong)

    def _contrasted(self, place: ExpertPlace, objections: list[tuple[int, str]]) -> Finding:
        parameter = self._parameters[place]
        if objections:
            expert, what = objections[0]
            where = f"{parameter.name}, expert {expert}"
            return _finding("contrast", where, len(objections), "fail", what)
        reason = f"{parameter.shape[0]} experts fit their own source and no other reading of it"
        return _finding("contrast", parameter.name, 0, "pass", reason)

    def _twins(self, place: ExpertPlace) -> Iterator[Finding]:
        twins = self._seen[place].twins()
        if not twins:
            return
        one, other = twins[0]
        if np.array_equal(self._expected.expert(place, one), self._expected.expert(place, other)):
            yield _finding(
                "identical experts", f"{self._parameters[place].name}, expert {other}", len(twins), "pass",
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
        wrong = alternatives.elsewhere(self._expected, parameter.name, self._shapes, rows)
        bound = error_measure.bound_of(parameter, source)
        objection = alternatives.objection(actual, source, bound, wrong)
        if objection:
            yield _finding("contrast", parameter.name, 1, "fail", objection)


def _finding(check: str, subject: str, measured: int, status: Status, reason: str) -> Finding:
    return Finding(
        gate=GATE, check=check, subject=subject, measured=measured, allowed=0, status=status, reason=reason
    )
