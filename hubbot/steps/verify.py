"""Judge a converted variant against its source: the referee's report.

It never changes the artifact's weights, config or side files.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from hubbot.artifacts import Report
from hubbot.checkpoints import Checkpoint
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.referee import judge, judge_each
from hubbot.checks.subject import WHOLE
from hubbot.checks.tracer.gate import Tracer
from hubbot.checks.values.gate import check_window
from hubbot.checks.values.window_findings import WindowFindings
from hubbot.progress import Progress
from hubbot.runtime.blas_threads import one_thread

# Products of a model below this are too small to be shared out.
SMALL_BYTES = 200_000_000


def verify(
    checkpoint: Checkpoint,
    *,
    source: Path,
    artifact: Path,
    progress: Progress,
    tracer: Tracer,
    examination: Examination = WHOLE,
    judged: WindowFindings | None = None,
) -> Report:
    """Return the report on the artifact in folder `artifact`, whoever made it; raises what the referee raises.

    `tracer` runs the converter on a shrunken model, once for all variants of a source. `judged` are the findings
    of `verify_part` on all parameters, where the source's weights have been deleted since.
    """
    # Every variant of a source is judged alike: the logits of equal weights are equal bit for bit.
    with one_thread(wanted=checkpoint.weight_bytes < SMALL_BYTES):
        return judge(
            checkpoint, source, artifact, progress=progress, tracer=tracer, examination=examination,
            window_findings=judged,
        )  # fmt: skip


def verify_each(
    checkpoint: Checkpoint,
    *,
    source: Path,
    artifacts: Mapping[Path, WindowFindings | None],
    progress: Progress,
    tracer: Tracer,
    examination: Examination = WHOLE,
) -> Iterator[Report]:
    """Yield, in order, what `verify` returns for each of several artifacts of one source.

    `artifacts` are their folders with what `judged` is there. The source's weights are read once for all of them.
    """
    with one_thread(wanted=checkpoint.weight_bytes < SMALL_BYTES):
        yield from judge_each(
            checkpoint, source, artifacts, progress=progress, tracer=tracer, examination=examination
        )


def verify_part(
    checkpoint: Checkpoint, *, source: Path, artifacts: Sequence[Path], names: Collection[str], progress: Progress
) -> list[WindowFindings]:
    """Return what the values gate finds on parameters `names` of each of several unfinished artifacts."""
    return check_window(checkpoint, source, artifacts, names, progress)
