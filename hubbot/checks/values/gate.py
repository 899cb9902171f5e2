"""Gate 3: every number of the artifact is the source's number, as exactly as its encoding allows.

Every element of every parameter, in slices, must be what the source quantizes to (exact_match.py). What is not
is measured against the encoding's error bound and against the wrong readings of the source: no other expert's or
projection's may fit as well. On seeded rows of every expert two decoders must agree.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hubbot.artifacts import Finding
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.subject import READING_FAULTS, Outcome, Subject, subject_of
from hubbot.checks.values import error_measure, finding, first_sight
from hubbot.checks.values.alternatives import EXAMINED, AlternativesCheck
from hubbot.checks.values.compared_slices import Compared, Slice, Slices, Together, compared
from hubbot.checks.values.error_measure import WorstError
from hubbot.checks.values.random_projections import RandomProjections
from hubbot.checks.values.router_ties import router_ties
from hubbot.checks.values.window_findings import WindowFindings
from hubbot.files.digests import sha256_of
from hubbot.progress import Progress


def check(subject: Subject) -> Outcome:
    """Return the gate's findings; what cannot be read ends them with a failed `readable`.

    Where the source's weights were released they are those found while the weights were here.
    """
    return Outcome(findings=tuple(_findings(subject)))


def check_together(subjects: Sequence[Subject]) -> list[Outcome]:
    """Return what `check` returns for each of several artifacts of one source, reading the source once for all."""
    if len(subjects) > 1:
        try:
            found = _found_together(subjects)
        except READING_FAULTS:
            found = None  # whose fault it is shows when each is read by itself
        if found is not None:
            return found
    return [check(subject) for subject in subjects]


def _found_together(subjects: Sequence[Subject]) -> list[Outcome] | None:
    """Return all outcomes, or None where the artifacts cannot be compared in one pass."""
    if any(subject.window_findings is not None or _form(subject) != _form(subjects[0]) for subject in subjects):
        return None
    sides = [_Side(subject.expected, subject.stored) for subject in subjects]
    for _ in _parameters(sides, subjects[0].progress):
        pass  # their findings stay with them
    return [
        Outcome(findings=(*side.findings, *_on_source(subject)))
        for side, subject in zip(sides, subjects, strict=True)
    ]


def _form(subject: Subject) -> Mapping[str, object]:
    """Return what makes a parameter out of the source's tensors, which must be the same for one pass."""
    config = {key: value for key, value in subject.config.items() if not key.startswith("quantization")}
    return {"source": subject.source, "checkpoint": subject.checkpoint, "config": config}


def _findings(subject: Subject) -> Iterator[Finding]:
    windows = subject.window_findings
    try:
        if windows is None:
            yield from check_values(subject.expected, subject.stored, subject.progress)
            yield from _on_source(subject)
        else:
            yield from windows.findings_on(subject.stored, subject.digests)
            yield from check_used(subject.expected, subject.stored)
    except READING_FAULTS as error:
        yield finding.unreadable(error, subject.folder.name)


def _on_source(subject: Subject) -> Iterator[Finding]:
    yield from check_used(subject.expected, subject.stored)
    yield from router_ties(subject.expected, subject.stored)


def check_window(
    checkpoint: Checkpoint, source: Path, folders: Sequence[Path], names: Collection[str], progress: Progress
) -> list[WindowFindings]:
    """Return what the gate finds on parameters `names` of each of the unfinished artifacts in `folders`.

    Raises what READING_FAULTS lists where one cannot be read.
    """
    subjects = [subject_of(checkpoint, source, folder, progress=progress) for folder in folders]
    alike = all(_form(subject) == _form(subjects[0]) for subject in subjects)
    known = [tuple(name for name in names if name in subject.stored.by_name) for subject in subjects]
    sides = [_Side(subject.expected, subject.stored, only) for subject, only in zip(subjects, known, strict=True)]
    for some in [sides] if alike else [[side] for side in sides]:
        for _ in _parameters(some, progress):
            pass  # their findings stay with them
    return [
        WindowFindings(
            names=only, findings=tuple(side.findings), files=_digests(subject.folder, subject.stored, only)
        )
        for subject, side, only in zip(subjects, sides, known, strict=True)
    ]


def _digests(folder: Path, stored: StoredParameters, names: Collection[str]) -> dict[str, str]:
    """Return the sha256 of the files that hold parameters `names`, by path."""
    files = {stored.files.tensors[part].shard for name in names for part in stored.stored_names(name)}
    return {file: sha256_of(folder / file) for file in sorted(files)}


def check_values(
    expected: Expectations,
    stored: StoredParameters,
    progress: Progress,
    only: Collection[str] | None = None,
) -> Iterator[Finding]:
    """Yield one finding per parameter (of `only` where given), and further ones for contrasts."""
    side = _Side(expected, stored, only)
    yield from side.taken()
    for _ in _parameters([side], progress):
        yield from side.taken()


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


class _Side:
    """One artifact of those compared together: its parameters that have a source, and the findings so far."""

    def __init__(
        self, expected: Expectations, stored: StoredParameters, only: Collection[str] | None = None
    ) -> None:
        self.known: dict[str, StoredParameter] = {}
        self.findings: list[Finding] = []
        for parameter in stored.by_name.values():
            if only is None or parameter.name in only:
                refusal = _without_source(expected, parameter)
                if refusal is None:
                    self.known[parameter.name] = parameter
                else:
                    self.findings.append(refusal)
        self.slices = Slices(expected, stored)
        self._expected = expected
        self._contrasts = AlternativesCheck(expected, stored, self.slices)
        self._current: _Seen | None = None

    def taken(self) -> list[Finding]:
        """Return the findings since the last call."""
        found, self.findings = self.findings, []
        return found

    def add(self, compared: Compared) -> None:
        """Take in the next slice of a parameter."""
        self._current = self._current or _Seen(parameter=compared.slice.parameter)
        self._current.add(compared)

    def finish(self) -> None:
        """Conclude what was found on the parameter that the last slices are of, if there were any."""
        if self._current is not None:
            self.findings += self._concluded(self._current)
            self._current = None

    def _concluded(self, seen: "_Seen") -> Iterator[Finding]:
        parameter, worst = seen.parameter, seen.worst
        if seen.misfit is not None:
            yield seen.misfit
            return
        place = self._expected.place(parameter.name)
        if not self._ends(parameter):
            held = parameter.shape[0]
            yield finding("shape", parameter.name, held, "more", "fail", "the source has more rows than it")
            return
        for part in seen.different[:EXAMINED]:
            source = self.slices.source(part)
            worst.measure(part, source, error_measure.decoded(parameter, self.slices.parts(part)))
        yield _verdict(parameter, worst)
        if place is not None:
            yield from self._contrasts.experts(place, parameter, seen.projections, worst)
        elif seen.different:
            yield from self._contrasts.plain(parameter)

    def _ends(self, parameter: StoredParameter) -> bool:
        """Say whether the source ends where a plain parameter does."""
        if not parameter.shape or self._expected.place(parameter.name) is not None:
            return True
        return self._expected.length(parameter.name) in {None, parameter.shape[0]}


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What the slices of one parameter have shown so far."""

    parameter: StoredParameter
    worst: WorstError = field(default_factory=WorstError)
    different: list[Slice] = field(default_factory=list)
    projections: RandomProjections = field(default_factory=RandomProjections)
    misfit: Finding | None = None

    def add(self, compared: Compared) -> None:
        """Take in the next slice, in order."""
        where, parameter = compared.slice, self.parameter
        if self.misfit is not None:
            return
        if compared.match is None:
            subject = f"{parameter.name}, expert {where.start}" if where.place else parameter.name
            wanted, held = list(compared.shape[1:]), list(parameter.shape[1:])
            self.misfit = finding("shape", subject, held, wanted, "fail", "not the source's shape")
            return
        self.worst.count(where, compared.match, compared.shape)
        if compared.match.differs:
            self.different.append(where)
        if compared.projections is not None:
            self.projections.add_projected(*compared.projections)
        sample = compared.sample
        if sample is not None:
            actual = error_measure.decoded(parameter, sample.parts)
            disagreement = error_measure.disagreement(parameter, sample.parts, actual)
            self.worst.crosscheck = max(self.worst.crosscheck, disagreement)
            self.worst.measure(where, sample.source, actual, at="seeded rows")


def _parameters(sides: Sequence[_Side], progress: Progress) -> Iterator[str]:
    """Compare all parameters of several artifacts with their source; yield the name of each when it is judged."""
    names = list(dict.fromkeys(name for side in sides for name in side.known))
    first_sight.begin(sum(int(np.prod(p.shape, dtype=np.int64)) for side in sides for p in side.known.values()))
    waiting: deque[tuple[int, Sequence[_Side]]] = deque()

    def every() -> Iterator[Together]:
        for index, name in enumerate(names):
            for some in _alike(sides, name):
                slices = zip(*(side.slices.of(side.known[name]) for side in some), strict=True)
                for parts in slices:
                    waiting.append((index, some))
                    yield [(side.slices, part) for side, part in zip(some, parts, strict=True)]

    current = -1
    for found in compared(every()):
        index, some = waiting.popleft()
        if index != current:
            if current >= 0:
                yield _finished(sides, names[current])
            current = index
            progress(index, len(names), names[index])
        for side, one in zip(some, found, strict=True):
            side.add(one)
    if current >= 0:
        yield _finished(sides, names[current])


def _finished(sides: Sequence[_Side], name: str) -> str:
    for side in sides:
        side.finish()
    return name


def _alike(sides: Sequence[_Side], name: str) -> Collection[Sequence[_Side]]:
    """Return the artifacts that have a parameter, those together that have it in the same shape."""
    found: dict[tuple[int, ...], list[_Side]] = defaultdict(list)
    for side in sides:
        if name in side.known:
            found[side.known[name].shape].append(side)
    return found.values()


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
