"""The referee: an artifact and its source in, a report out. It judges what it is given, whoever made it.

The gates run in order, each on what the gates before have found; one that does not run is reported as not-run with
the reason, never as passed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hubbot.artifacts import Report
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checkpoints import Checkpoint
from hubbot.checks import behaviour, parity, structure, values
from hubbot.checks.behaviour import gate as behaviour_gate
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.parity import gate as parity_gate
from hubbot.checks.structure import gate as structure_gate
from hubbot.checks.subject import WHOLE, Outcome, Subject, subject_of
from hubbot.checks.tracer.gate import Tracer
from hubbot.checks.values import gate as values_gate
from hubbot.checks.values.window_findings import WindowFindings
from hubbot.errors import AmbiguousLayout
from hubbot.progress import Progress


def judge(
    checkpoint: Checkpoint,
    source: Path,
    folder: Path,
    *,
    progress: Progress,
    tracer: Tracer,
    examination: Examination = WHOLE,
    window_findings: WindowFindings | None = None,
) -> Report:
    """Return the report on the artifact in `folder` against `checkpoint`, whose weights lie in `source`.

    `tracer` is the gate over the converter that may have made it. `window_findings` is what the values gate found
    while the weights were here, where they have been released since. Faults of the artifact become findings.

    Raises AmbiguousLayout where no family row knows the source, WrongUsage where the corpus cannot be read.
    """
    (report,) = judge_each(
        checkpoint, source, {folder: window_findings}, progress=progress, tracer=tracer, examination=examination
    )
    return report


def judge_each(
    checkpoint: Checkpoint,
    source: Path,
    folders: Mapping[Path, WindowFindings | None],
    *,
    progress: Progress,
    tracer: Tracer,
    examination: Examination = WHOLE,
) -> Iterator[Report]:
    """Yield, in order, what `judge` returns for each of several artifacts of one source, which is read once.

    `folders` are the artifacts' with their window findings. The seconds of the pass over the values are divided
    among the artifacts.
    """
    if checkpoint.model_type not in BY_MODEL_TYPE:
        raise AmbiguousLayout(
            f"no family row says what a {checkpoint.model_type} source ought to become", where=checkpoint.repo.id
        )
    cases = [
        _Case(
            subject_of(
                checkpoint, source, folder, progress=progress, examination=examination, window_findings=known
            )
        )
        for folder, known in folders.items()
    ]  # fmt: skip
    for case in cases:
        case.begin()
    started = examination.clock()
    outcomes = check_values([case.subject for case in cases])
    seconds = (examination.clock() - started) / max(1, len(cases))
    for case, outcome in zip(cases, outcomes, strict=True):
        case.add(values.GATE, outcome, seconds)
    for case in cases:
        case.run("tracer", tracer.check)
        case.run(parity.GATE, check_parity)
        case.run(behaviour.GATE, check_behaviour)
        yield case.report()


class _Case:
    """One artifact on its way through the gates."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._clock = subject.examination.clock
        self._outcomes: list[Outcome] = []
        self._seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Take the digests, and look at the structure."""
        started = self._clock()
        assert self.subject.digests is not None  # before any gate reads: what is judged is what had these digests
        self._seconds["hashing"] = self._clock() - started
        self.run(structure.GATE, structure_gate.check)

    def run(self, name: str, gate: Callable[[Subject], Outcome]) -> None:
        """Add what a gate finds."""
        started = self._clock()
        outcome = gate(self.subject)
        self.add(name, outcome, self._clock() - started)

    def add(self, name: str, outcome: Outcome, seconds: float) -> None:
        """Add what gate `name` found in so many seconds."""
        self._seconds[name] = seconds
        self.subject.so_far.extend(outcome.findings)
        self._outcomes.append(outcome)

    def report(self) -> Report:
        """Return all that was found."""
        return Report(
            artifact=self.subject.artifact,
            findings=tuple(self.subject.so_far),
            digests=self.subject.digests,
            measurements={name: value for found in self._outcomes for name, value in found.measurements.items()},
            provenance={name: value for found in self._outcomes for name, value in found.provenance.items()},
            seconds={name: round(taken, 3) for name, taken in self._seconds.items()},
        )


def check_values(subjects: Sequence[Subject]) -> list[Outcome]:
    """Return the values gate's outcomes; not-run on what the structure gate could not read."""
    readable = [subject for subject in subjects if not _is_unreadable(subject)]
    found = iter(values_gate.check_together(readable))
    unread = Outcome(findings=(values.finding.not_run("the structure gate could not read the artifact"),))
    return [unread if _is_unreadable(subject) else next(found) for subject in subjects]


def _is_unreadable(subject: Subject) -> bool:
    return any((found.gate, found.check) == (structure.GATE, "readable") for found in subject.so_far)


def check_parity(subject: Subject) -> Outcome:
    """Return the parity gate's outcome; not-run on an artifact that is refused already."""
    reason = _refused(subject)
    return Outcome(findings=(parity.finding.not_run(reason),)) if reason else parity_gate.check(subject)


def check_behaviour(subject: Subject) -> Outcome:
    """Return the behaviour gate's outcome; not-run on an artifact that the gates before parity have refused."""
    reason = _refused(subject)
    return Outcome(findings=(behaviour.finding.not_run(reason),)) if reason else behaviour_gate.check(subject)


def _refused(subject: Subject) -> str | None:
    before = (found for found in subject.so_far if found.gate != parity.GATE)
    failed = next((found for found in before if found.status == "fail"), None)
    return f"the artifact is refused already: {failed.gate}, {failed.check}" if failed else None
