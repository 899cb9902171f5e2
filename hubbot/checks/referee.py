"""The referee: an artifact and its source in, a report out. It judges what it is given, whoever made it.

The gates run in order, each on what the gates before have found; one that does not run is reported as not-run with
the reason, never as passed.
"""

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
    if checkpoint.model_type not in BY_MODEL_TYPE:
        raise AmbiguousLayout(
            f"no family row says what a {checkpoint.model_type} source ought to become", where=checkpoint.repo.id
        )
    subject = subject_of(
        checkpoint, source, folder, progress=progress, examination=examination, window_findings=window_findings
    )
    clock = examination.clock
    started = clock()
    digests = subject.digests  # before any gate reads: what is judged is what had these digests
    outcomes, seconds = [], {"hashing": clock() - started}
    for name, gate in (
        (structure.GATE, structure_gate.check),
        (values.GATE, check_values),
        ("tracer", tracer.check),
        (parity.GATE, check_parity),
        (behaviour.GATE, check_behaviour),
    ):
        started = clock()
        outcome = gate(subject)
        seconds[name] = clock() - started
        subject.so_far.extend(outcome.findings)
        outcomes.append(outcome)
    return Report(
        artifact=subject.artifact,
        findings=tuple(subject.so_far),
        digests=digests,
        measurements={name: value for outcome in outcomes for name, value in outcome.measurements.items()},
        provenance={name: value for outcome in outcomes for name, value in outcome.provenance.items()},
        seconds={name: round(taken, 3) for name, taken in seconds.items()},
    )


def check_values(subject: Subject) -> Outcome:
    """Return the values gate's outcome; not-run where the structure gate could not read the artifact."""
    if any((found.gate, found.check) == (structure.GATE, "readable") for found in subject.so_far):
        return Outcome(findings=(values.finding.not_run("the structure gate could not read the artifact"),))
    return values_gate.check(subject)


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
