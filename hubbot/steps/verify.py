"""Prove a converted variant against its source: the referee's report, kept beside the artifact.

It never changes the artifact's weights, config or side files.
"""

from pathlib import Path

from hubbot.artifacts import Report
from hubbot.checkpoints import Checkpoint
from hubbot.checks.behaviour.examination import Examination
from hubbot.checks.judge import WHOLE, judge
from hubbot.finishing import write_json
from hubbot.marks import MARK, read_mark
from hubbot.progress import Progress


def verify(
    checkpoint: Checkpoint,
    *,
    source: Path,
    artifact: Path,
    progress: Progress,
    examination: Examination = WHOLE,
) -> Report:
    """Return the report on the artifact in folder `artifact`; it may come from anybody."""
    return judge(checkpoint, source, artifact, progress=progress, examination=examination)


def record(report: Report) -> None:
    """Set `verified` in an approved artifact's own mark; anybody else's artifact is left as it is."""
    folder = Path(report.artifact.path)
    mark = read_mark(folder)
    if mark is not None:
        write_json(folder / MARK, {**mark, "verified": report.verdict == "approved"})
