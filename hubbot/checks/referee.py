"""The referee: an artifact and its source in, a report out. It judges what it is given, whoever made it.

A gate that does not run is reported as not-run with the reason, never as passed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hubbot.artifacts import Artifact, Finding, Report
from hubbot.catalogue.configs.nesting import decoder
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checkpoints import Checkpoint
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.referee_run import check_computed
from hubbot.checks.structure import gate
from hubbot.checks.structure.configuration import check_configuration
from hubbot.checks.structure.dtypes import check_dtypes
from hubbot.checks.structure.side_files import check_side_files, check_token_ids
from hubbot.checks.structure.user_load import check_user_load
from hubbot.checks.tracer.gate import Tracer
from hubbot.checks.values.gate import check_used, check_values
from hubbot.checks.values.per_window import Judged
from hubbot.errors import AmbiguousLayout, HubbotError
from hubbot.marks import measure, read_mark, recorded
from hubbot.progress import Progress
from hubbot.runtime import loading

WHOLE = Examination()


def judge(
    checkpoint: Checkpoint,
    source: Path,
    folder: Path,
    *,
    progress: Progress,
    tracer: Tracer,
    examination: Examination = WHOLE,
    judged: Judged | None = None,
) -> Report:
    """Return the report on the artifact in `folder` against `checkpoint`, whose weights lie in `source`.

    `tracer` is the gate over the converter that may have made it. `judged` is what the values gate found while the
    weights were here, where they have been released since.
    Faults of the artifact become findings; faults of the source raise (AmbiguousLayout, CorruptHeader...).
    """
    if checkpoint.model_type not in BY_MODEL_TYPE:
        raise AmbiguousLayout(
            f"no family row says what a {checkpoint.model_type} source ought to become", where=checkpoint.repo.id
        )
    digests = gate.hash_files(folder)
    artifact = described(checkpoint, folder)
    findings = list(_findings(checkpoint, source, artifact, digests, progress, judged))
    traced = tracer.check(checkpoint, read_mark(folder), findings)
    findings += traced.findings
    weights_are_here = judged is None
    computed = check_computed(
        checkpoint, source if weights_are_here else None, artifact, findings, examination, progress
    )
    return Report(
        artifact=artifact,
        findings=(*findings, *computed.findings),
        digests=digests,
        measurements=computed.measurements or {},
        provenance=traced.provenance,
    )


def described(checkpoint: Checkpoint, folder: Path) -> Artifact:
    """Return the artifact in `folder` as its mark describes it, or with nothing recorded where it has none."""
    mark = read_mark(folder) or {}
    return Artifact(
        source=checkpoint.repo,
        variant=str(mark.get("variant", folder.name)),
        path=str(folder),
        files=recorded(mark),
        nbytes=int(measure(mark, "bytes")),
        bits_per_weight=measure(mark, "bits_per_weight"),
    )


def _findings(
    checkpoint: Checkpoint,
    source: Path,
    artifact: Artifact,
    digests: Mapping[str, str],
    progress: Progress,
    judged: Judged | None,
) -> Iterator[Finding]:
    folder = Path(artifact.path)
    family = BY_MODEL_TYPE[checkpoint.model_type]
    yield from gate.check_files(artifact, digests)
    try:
        config = gate.read_config(folder)
        yield from gate.check_config(config, family)
        yield from check_configuration(checkpoint.config, config, family, is_own=bool(artifact.files))
        yield from check_token_ids(source, decoder(checkpoint.config), decoder(config))
        yield from check_side_files(source, artifact)
        shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
        stored = StoredParameters(folder, shapes)
        yield from gate.check_index(folder, stored)
        yield from gate.check_tensors(stored, shapes, config)
        yield from gate.check_load(folder)
        yield from check_user_load(folder)
        expected = Expectations(source, checkpoint, family, config)
        yield from check_dtypes(expected, stored, config, is_own=bool(artifact.files))
        if judged is None:
            yield from check_values(expected, stored, progress)
        else:
            yield from judged.findings_on(stored, digests)
        yield from check_used(expected, stored)
    except (HubbotError, OSError, ValueError, KeyError, IndexError) as error:
        yield Finding(
            gate=gate.GATE, check="readable", subject=str(getattr(error, "where", None) or folder.name),
            measured=str(error)[:300] or type(error).__name__, allowed="readable", status="fail",
            reason="the artifact cannot be read as what it claims to be",
        )  # fmt: skip
