"""`hubbot run --once` that is killed, as by kill -9, before, inside or after a stage.

python -m tests.story.dying_bot STAGE MOMENT
"""

import os
import signal
import sys
import threading
from dataclasses import replace
from typing import NoReturn

from hubbot.jobs.pipeline import Pipeline
from hubbot.lifecycle import Job, Outcome, Stage

# How long after the beginning the stages are killed that wait for a child and tell of no progress.
CHILD_SECONDS = {Stage.PLAN: 0.02, Stage.SMOKE: 0.1}
# How many calls of functions after the beginning the quick ones are.
CALLS = 40


def die(*_: object) -> NoReturn:
    """End this process as kill -9 does: nothing is caught, flushed or stored after it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def die_at_progress(job: Job, done: int, total: int, label: str) -> None:
    """Take a stage's progress as the moment."""
    die(job, done, total, label)


def die_inside(pipeline: Pipeline, stage: Stage) -> Pipeline:
    """Return the pipeline, which ends this process somewhere in the middle of what it does next."""
    if stage in {Stage.FETCH, Stage.CONVERT, Stage.VERIFY, Stage.PUBLISH}:
        return replace(pipeline, on_progress=die_at_progress)
    if stage in CHILD_SECONDS:
        threading.Timer(CHILD_SECONDS[stage], die).start()
        return pipeline
    left = [CALLS]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            die()

    threading.setprofile(count)
    sys.setprofile(count)
    return pipeline


def main(stage: str, moment: str) -> None:
    """Run as `hubbot run --once` does until the moment has come."""
    run = Pipeline.run_stage

    def run_stage(pipeline: Pipeline, job: Job, cancelled: threading.Event) -> Outcome:
        if job.stage != stage:
            return run(pipeline, job, cancelled)
        if moment == "before":
            die()
        outcome = run(die_inside(pipeline, job.stage) if moment == "inside" else pipeline, job, cancelled)
        # Killed inside, it does not come here; the test sees that the process ended by itself.
        if moment == "after":
            die()
        return outcome

    setattr(Pipeline, "run_stage", run_stage)  # noqa: B010 - a method of a frozen class
    from hubbot.cli.main import main as command  # noqa: PLC0415 - after the stage is replaced

    sys.argv = ["hubbot", "run", "--once"]
    command()


if __name__ == "__main__":
    main(*sys.argv[1:])
