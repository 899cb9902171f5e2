"""Killed before, inside and after any stage, a job goes on where it was and publishes the same bytes."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hubbot.jobs.bot import Bot
from hubbot.lifecycle import Job, Outcome, Stage, State
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.story.bots import Stages, bot, settings

MOMENTS = ("before", "inside", "after")
SHORT = {(Stage.CONVERT, "inside"), (Stage.PUBLISH, "after")}
# These tell of no progress: there is no moment inside them at which a test could stop them.
WITHOUT_PROGRESS = {Stage.INSPECT, Stage.CLASSIFY, Stage.PLAN, Stage.SMOKE, Stage.CARD}
REPO = f"{ORG}/Fox-MLX-4bit"


class Killed(BaseException):
    """Stands for kill -9: nothing in the bot catches it, and nothing is stored after it."""


def killing(opened: Bot, at: Stage, moment: str) -> Bot:
    """Return the same bot, which dies once at a moment of a stage."""
    run, left = opened.worker.run_stage, [1]

    def die() -> None:
        if left:
            left.clear()
            raise Killed

    def run_stage(job: Job, cancelled: threading.Event) -> Outcome:
        if job.stage is at and moment == "before":
            die()
        outcome = run(job, cancelled)
        if job.stage is at and moment == "after":
            die()
        return outcome

    def on_progress(job: Job, done: int, total: int, label: str) -> None:
        if job.stage is at and moment == "inside":
            die()

    pipeline = replace(opened.pipeline, on_progress=on_progress)
    run = pipeline.run_stage
    return replace(opened, pipeline=pipeline, worker=replace(opened.worker, run_stage=run_stage))


def published(site: Site) -> dict[str, str]:
    """Every file that is a function of the source and the recipe: its sha256, or the id of its blob."""
    state = site.client().state(REPO)
    return {
        path: file.sha256 or file.blob_id
        for path, file in (state.files if state else {}).items()
        if path not in {"README.md", "report.json", ".gitattributes"}
    }


@pytest.fixture
def whole(site: Site, fox: Path, tmp_path: Path, stages: Stages) -> dict[str, str]:
    """What a job that nothing disturbs publishes; it is taken off the Hub again."""
    before = site.repos
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "undisturbed")) as opened:
        run_until_done(opened)
        files = published(site)
    site.keep_only({*before, "fables/Fox"})
    assert any(path.endswith(".safetensors") for path in files)
    return files


def run_until_done(opened: Bot) -> Job:
    files = opened.hub.open("fables/Fox", None)
    job, _ = opened.queue.enqueue(files.repo.id, files.repo.revision, ("4bit",), "4bit", requested_by="test")
    opened.run_once(threading.Event(), 0)
    return opened.queue.job(job.id)


@pytest.mark.filterwarnings(LFS_WARNING)
@pytest.mark.parametrize(
    ("stage", "moment"),
    [
        pytest.param(stage, moment, marks=[] if (stage, moment) in SHORT else [pytest.mark.slow])
        for stage in Stage
        for moment in MOMENTS
        if moment != "inside" or stage not in WITHOUT_PROGRESS
    ],
)
def test_a_killed_job_resumes_repeats_no_finished_stage_and_publishes_the_same_bytes(
    site: Site,
    whole: dict[str, str],
    tmp_path: Path,
    stage: Stage,
    moment: str,
    record_property: Callable[[str, object], None],
) -> None:
    data = settings(tmp_path / "data")
    with bot(site.client(), data) as opened, pytest.raises(Killed):
        run_until_done(killing(opened, stage, moment))
    with bot(site.client(), data) as opened:
        (running,) = opened.queue.jobs()
        assert (running.state, running.stage) == (State.RUNNING, stage)
        job = run_until_done(opened)
        attempts = opened.results.attempts(job.id)
    assert job.state is State.PUBLISHED
    done = Counter(attempt.stage for attempt in attempts if attempt.outcome in {"done", "published"})
    assert done == dict.fromkeys(Stage, 1)
    assert [attempt.stage for attempt in attempts if attempt.outcome == "lost"] == [stage]
    assert published(site) == whole
    record_property("attempts", len(attempts))
