"""Gate 3: every number of the artifact is the source's number, as exactly as its encoding allows.

Every element of every parameter, in slices, must be what the source quantizes to (exact_match.py). What is not
is measured against the encoding's error bound and against the wrong readings of the source. On seeded rows of
every expert two decoders must agree, and no other expert's or projection's source may fit as well.
"""

from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path

from hubbot.artifacts import Finding
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.subject import READING_FAULTS, Outcome, Subject, subject_of
from hubbot.checks.values import error_measure, finding
from hubbot.checks.values.alternatives import EXAMINED, AlternativesCheck
from hubbot.checks.values.compared_slices import Compared, Slice, Slices
from hubbot.checks.values.error_measure import WorstError
from hubbot.checks.values.random_projections import RandomProjections
from hubbot.checks.values.router_ties import router_ties
from hubbot.checks.values.window_findings import WindowFindings
from hubbot.files.digests import sha256_of
from hubbot.progress import Progress

# Of the seeded rows of what is right anyway; both decoders and the contrasts take all of them.
MEASURED_ROWS = 8


def check(subject: Subject) -> Outcome:
    """Return the gate's findings; what cannot be read ends them with a failed `readable`.

    Where the source's weights were released they are those found while the weights were here.
    """
    return Outcome(findings=tuple(_findings(subject)))


def _findings(subject: Subject) -> Iterator[Finding]:
    windows = subject.window_findings
    try:
        if windows is None:
            yield from check_values(subject.expected, subject.stored, subject.progress)
        else:
            yield from windows.findings_on(subject.stored, subject.digests)
        yield from check_used(subject.expected, subject.stored)
        if windows is None:
            yield from router_ties(subject.expected, subject.stored)
    except READING_FAULTS as error:
        yield finding.unreadable(error, subject.folder.name)


def check_window(
    checkpoint: Checkpoint, source: Path, folder: Path, names: Collection[str], progress: Progress
) -> WindowFindings:
    """Return what the gate finds on parameters `names` of the unfinished artifact in `folder`."""
    subject = subject_of(checkpoint, source, folder, progress=progress)
    stored = subject.stored
    known = tuple(name for name in names if name in stored.by_name)
    findings = tuple(check_values(subject.expected, stored, progress, only=known))
    files = {stored.files.tensors[part].shard for name in known for part in stored.stored_names(name)}
    digests = {file: sha256_of(folder / file) for file in sorted(files)}
    return WindowFindings(names=known, findings=findings, files=digests)


def check_values(
    expected: Expectations,
    stored: StoredParameters,
    progress: Progress,
    only: Collection[str] | None = None,
) -> Iterator[Finding]:
    """Yield one finding per parameter (of `only` where given), and further ones for contrasts."""
    parameters = [p for p in stored.by_name.values() if only is None or p.name in only]
    known: list[StoredParameter] = []
    for parameter in parameters:
        refusal = _without_source(expected, parameter)
        if refusal is None:
            known.append(parameter)
        else:
            yield refusal
    slices = Slices(expected, stored)
    gate = _Gate(expected, stored, slices)
    every = (part for parameter in known for part in slices.of(parameter))
    found = groupby(slices.compared(every), key=lambda compared: compared.slice.parameter.name)
    for index, (name, some) in enumerate(found):
        progress(index, len(known), name)
        yield from gate.check(stored.by_name[name], some)


def check_used(expected: Expectations, stored: StoredParameters) -> Iterator[Finding]:
    """Yield whether every source tensor is held by a parameter, dropped by a rule, or a bias of zeros."""
    left = expected.unused(set(stored.by_name))
    zeros = [name for name in left if name.endswith(".bias") and expected.is_zero(name)]
    lost = [name for name in left if name not in zeros]
    if zeros:
        reason = "biases without a parameter; every number of them was read and is zero"
        yield finding("zero biases", zeros[0], len(zeros), len(zeros), "pass", reason)
    yield finding(
        "source used", lost[0] if lost else "all source tensors", len(lost), 0, "fail" if lost else "pass",
        "no parameter of the artifact holds it" if lost else f"{len(expected.dropped)} dropped by rule",
    )  # fmt: skip


def _without_source(expected: Expectations, parameter: StoredParameter) -> Finding | None:
    name, place = parameter.name, expected.place(parameter.name)
    if place is None:
        if expected.source_name(name) is None:
            return finding("source", name, "none", "one tensor", "fail", "nothing in the source makes it")
        return None
    count = expected.experts_at(place)
    if not parameter.shape or count != parameter.shape[0]:
        held = parameter.shape[0] if parameter.shape else 0
        return finding("experts", name, held, count, "fail", "not the source's number of experts")
    return None


class _Gate:
    """One artifact going by, parameter by parameter."""

    def __init__(self, expected: Expectations, stored: StoredParameters, slices: Slices) -> None:
        self._expected = expected
        self._slices = slices
        self._contrasts = AlternativesCheck(expected, stored, slices)

    def check(self, parameter: StoredParameter, some: Iterator[Compared]) -> Iterator[Finding]:
        """Yield the findings of one parameter from its compared slices."""
        worst = WorstError()
        different: list[Slice] = []
        signatures = RandomProjections()
        for compared in some:
            if compared.match is None:
                where = compared.slice
                subject = f"{parameter.name}, expert {where.start}" if where.place else parameter.name
                wanted, held = list(compared.shape[1:]), list(parameter.shape[1:])
                yield finding("shape", subject, held, wanted, "fail", "not the source's shape")
                return
            worst.count(compared.slice, compared.match, compared.shape)
            if compared.match.differs:
                different.append(compared.slice)
            self._sample(parameter, compared, worst, signatures)
        if not self._ends(parameter):
            yield finding(
                "shape", parameter.name, parameter.shape[0], "more", "fail", "the source has more rows than it"
            )
            return
        for part in different[:EXAMINED]:
            self._examine(part, worst)
        yield _verdict(parameter, worst)
        place = self._expected.place(parameter.name)
        if place is not None:
            yield from self._contrasts.experts(place, parameter, signatures, worst)
        elif different:
            yield from self._contrasts.plain(parameter)

    def _ends(self, parameter: StoredParameter) -> bool:
        """Say whether the source ends where a plain parameter does."""
        if not parameter.shape or self._expected.place(parameter.name) is not None:
            return True
        return self._expected.length(parameter.name) in {None, parameter.shape[0]}

    def _sample(
        self, parameter: StoredParameter, compared: Compared, worst: WorstError, signatures: RandomProjections
    ) -> None:
        sample = compared.sample
        if sample is None:
            return
        actual = error_measure.decoded(parameter, sample.parts)
        worst.crosscheck = max(worst.crosscheck, error_measure.disagreement(parameter, sample.parts, actual))
        if parameter.mode != "none":
            some = (..., slice(MEASURED_ROWS), slice(None))
            worst.measure(compared.slice, sample.source[some], actual[some], at="seeded rows")
        if compared.slice.place is not None:
            signatures.add(sample.source, actual)

    def _examine(self, part: Slice, worst: WorstError) -> None:
        source = self._slices.source(part)
        worst.measure(part, source, error_measure.decoded(part.parameter, self._slices.parts(part)))


def _verdict(parameter: StoredParameter, worst: WorstError) -> Finding:
    name = parameter.name
    if worst.not_finite:
        return finding("finite", name, f"NaN or infinity, {worst.not_finite}", "finite", "fail", "not a number")
    for check, measured, reason in (
        ("decoders agree", worst.crosscheck, "mx.dequantize and numpy differ"),
        ("zeroed groups", worst.zeroed, "groups with non-zero weights became zero"),
        ("saturated scales", worst.saturated, "the largest scale there is, and too small for its group"),
    ):
        if measured > 0:
            return finding(check, name, measured, 0, "fail", reason)
    if worst.ratio > 1.0 and parameter.mode == "affine" and not worst.units:
        # Every code was explained, so the kernel's own rule is what the bound does not allow.
        reason = (
            f"coarser than need be: made by the rule of MLX's GPU kernels, which for weights of one sign errs "
            f"up to {worst.ratio:.0f} times the bound, {worst.at}"
        )
        return finding("values", name, worst.error, worst.bound, "pass", reason)
    if worst.ratio > 1.0:
        kind = "not the expected bytes" if parameter.mode == "none" else "beyond the encoding's bound"
        return finding("values", name, worst.error, worst.bound, "fail", f"{kind}, {worst.at}")
    if worst.units:
        what = "elements" if parameter.mode == "none" else "groups"
        reason = f"{what} within the bound, but not what its source makes; the first at {worst.first}"
        return finding("values", name, worst.units, 0, "fail", reason)
    encoding = parameter.dtype if parameter.mode == "none" else f"{parameter.mode} {parameter.bits} bits"
    ties = f", {worst.ties} groups rounded otherwise at a tie or kept" if worst.ties else ""
    reason = f"{encoding}, every element is what its source makes{ties}; the error is that of seeded rows"
    return finding("values", name, worst.error, worst.bound, "pass", reason)
