"""Judge a converted variant against its source: the referee's report.

It never changes the artifact's weights, config or side files.
"""

from collections.abc import Collection
from pathlib import Path

from hubbot.artifacts import Report
from hubbot.checkpoints import Checkpoint
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.referee import WHOLE, judge
from hubbot.checks.tracer.gate import Tracer
from hubbot.checks.values.per_window import Judged, judge_part
from hubbot.finishing import write_json
from hubbot.marks import MARK, read_mark
from hubbot.progress import Progress


def verify(
    checkpoint: Checkpoint,
    *,
    source: Path,
    artifact: Path,
    progress: Progress,
    tracer: Tracer,
    examination: Examination = WHOLE,
    judged: Judged | None = None,
) -> Report:
    """Return the report on the artifact in folder `artifact`, whoever made it; raises what the referee raises.

    `tracer` runs the converter on a shrunken model, once for all variants of a source. `judged` are the findings
    of `verify_part` on all parameters, where the source's weights have been deleted since.
    """
    return judge(
        checkpoint, source, artifact, progress=progress, tracer=tracer, examination=examination, judged=judged
    )


def verify_part(
    checkpoint: Checkpoint, *, source: Path, artifact: Path, names: Collection[str], progress: Progress
) -> Judged:
    """Return the findings of the values gate on parameters `names` of an unfinished artifact."""
    return judge_part(checkpoint, source, artifact, names, progress)


def record(report: Report) -> None:
    """Set `verified` in hubbot.json of an approved artifact; an artifact without that file is left as it is."""
    folder = Path(report.artifact.path)
    mark = read_mark(folder)
    if mark is not None:
        write_json(folder / MARK, {**mark, "verified": report.verdict == "approved"})
