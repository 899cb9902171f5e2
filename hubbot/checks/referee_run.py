"""Gates 4 and 5, which compute: they run on what gates 1 to 3 have proven, and on nothing else.

A gate that could not run says so with its reason; it never counts as passed.
"""

from collections.abc import Sequence
from pathlib import Path

from hubbot.artifacts import Artifact, Finding
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checkpoints import Checkpoint
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.behaviour.gate import GATE, Examinee, Outcome, check_behaviour
from hubbot.checks.parity import gate as parity
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.structure.gate import read_config
from hubbot.errors import HubbotError, WrongUsage
from hubbot.progress import Progress
from hubbot.runtime import loading

GATES = (parity.GATE, GATE)
RELEASED = "the source's weights were released while converting; the values gate had judged every one of them"
_FAULTS = (HubbotError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError)


def check_computed(
    checkpoint: Checkpoint,
    source: Path | None,
    artifact: Artifact,
    so_far: Sequence[Finding],
    examination: Examination,
    progress: Progress,
) -> Outcome:
    """Return the findings of both gates on an artifact whose findings so far are `so_far`.

    Without `source`, the folder of the source's weights, there is nothing to compare behaviour with.
    """
    failed = next((finding for finding in so_far if finding.status == "fail"), None)
    if failed:
        reason = f"the artifact is refused already: {failed.gate}, {failed.check}"
        return Outcome(findings=tuple(_not_run(gate, reason) for gate in GATES), measurements=None)
    findings = list(_guarded_parity(checkpoint, Path(artifact.path)))
    if source is None:
        return Outcome(findings=(*findings, _not_run(GATE, RELEASED)), measurements=None)
    try:
        outcome = check_behaviour(examinee_of(checkpoint, source, artifact), examination, progress)
    except WrongUsage:
        raise
    except RuntimeError as error:  # MLX: no kernel, no memory; a broken artifact fails in structure and smoke
        told = f"this device cannot run it: {str(error)[:200]}"
        return Outcome(findings=(*findings, _not_run(GATE, told)), measurements=None)
    except _FAULTS as error:
        return Outcome(findings=(*findings, _broken(GATE, error)), measurements=None)
    return Outcome(findings=(*findings, *outcome.findings), measurements=outcome.measurements)


def _guarded_parity(checkpoint: Checkpoint, folder: Path) -> list[Finding]:
    try:
        return list(parity.check_parity(checkpoint, folder))
    except _FAULTS as error:
        return [_broken(parity.GATE, error)]


def examinee_of(checkpoint: Checkpoint, source: Path, artifact: Artifact) -> Examinee:
    """Return the artifact as the behaviour gate takes it."""
    folder = Path(artifact.path)
    config = read_config(folder)
    shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
    return Examinee(
        artifact=artifact,
        config=config,
        shapes=shapes,
        stored=StoredParameters(folder, shapes),
        expected=Expectations(source, checkpoint, BY_MODEL_TYPE[checkpoint.model_type], config),
    )


def _not_run(gate: str, reason: str) -> Finding:
    return Finding(
        gate=gate, check=gate, subject="artifact", measured=None, allowed=None, status="not-run", reason=reason
    )


def _broken(gate: str, error: Exception) -> Finding:
    told = f"{type(error).__name__}: {str(error)[:300]}"
    return Finding(
        gate=gate, check="runs", subject=str(getattr(error, "where", None) or "artifact"), measured=told,
        allowed="runs", status="fail", reason="it cannot be run",
    )  # fmt: skip
