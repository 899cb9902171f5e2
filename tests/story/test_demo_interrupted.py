"""The demo killed, interrupted and started again: the same end, and nobody left behind."""

import random
import signal
from pathlib import Path

import pytest

from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import State
from hubbot.settings import Settings
from tests.story.demos import Demo, end_state, interrupted, run, shared

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for children in /proc")


def states(folder: Path) -> dict[str, State]:
    with open_records(Settings(data_dir=folder / "data")) as records:
        return {job.repo: job.state for job in records.queue.jobs()}


def assert_given_back(folder: Path) -> None:
    with open_records(Settings(data_dir=folder / "data")) as records:
        for job in records.queue.jobs():
            assert job.state is not State.RUNNING
            assert (job.lease, job.runner, job.attempts) == (None, None, 0), job.repo
        last = max(
            (a for job in records.queue.jobs() for a in records.results.attempts(job.id)), key=lambda a: a.id
        )
    assert last.outcome in {"released", "done", "published"}


def assert_same_end(ended: Demo, untouched: Demo) -> None:
    assert ended.code == 0, ended.err
    kept = ("published", "skipped", "parked", "counts")
    assert {key: ended.record[key] for key in kept} == {key: untouched.record[key] for key in kept}
    assert end_state(ended.folder) == end_state(untouched.folder)


def kill(folder: Path, times: int, dice: random.Random, lines: tuple[int, int]) -> None:
    for _ in range(times):
        before = set(states(folder).values()) if (folder / "data" / "hubbot.db").exists() else set()
        assert State.WAITING in before or State.RUNNING in before or not before, "nothing was left to kill"
        interrupted(folder, signal.SIGKILL, after_lines=dice.randint(*lines), then_seconds=dice.uniform(0, 0.6))


@pytest.mark.timeout(600)
def test_killed_twice_and_interrupted_once_it_ends_the_same(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dice = random.Random(20261120)
    kill(tmp_path / "demo", 2, dice, (4, 14))
    stopped = interrupted(tmp_path / "demo", signal.SIGINT, after_lines=dice.randint(4, 10), then_seconds=0.3)
    assert stopped is not None
    assert stopped.code == 130
    assert "goes back to the queue" in stopped.err
    assert stopped.record["counts"] != {"published": 4, "skipped": 1, "parked": 1}
    assert_given_back(tmp_path / "demo")
    assert_same_end(run(tmp_path / "demo"), shared(tmp_path_factory))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ten_times_it_ends_the_same(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    kill(tmp_path / "demo", 10, random.Random(seed), (3, 5))
    assert_same_end(run(tmp_path / "demo"), shared(tmp_path_factory))
