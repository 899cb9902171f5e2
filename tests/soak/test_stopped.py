"""SIGTERM at any moment: the runner is gone within ten seconds, and nothing is lost, repeated or counted."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from hubbot.lifecycle import State
from hubbot.store.results import Results
from tests.soak.test_soak import Soak

LONGEST_SECONDS = 10.0


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_a_runner_that_is_told_to_stop_at_random_moments_stops_and_gives_its_jobs_back(
    tmp_path: Path, times: int
) -> None:
    soak = Soak(f"sqlite:///{tmp_path}/hubbot.db", tmp_path / "world", runners=1, seed=times)
    # None of the kinds that kill their runner.
    for number in range(20 * times):
        soak.commit(f"good/{number}", 0)
    soak.start_hub()
    assert soak.hub is not None
    assert soak.hub.stdout is not None
    soak.hub.stdout.readline()
    slowest = 0.0
    for _ in range(times):
        soak.start("mac0")
        process = soak.processes["mac0"]
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(soak.random.uniform(0, 0.8))
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(2 * LONGEST_SECONDS) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.stdout.close()
        slowest = max(slowest, time.monotonic() - told)
        assert soak.queue.jobs(State.RUNNING) == []
    assert slowest < LONGEST_SECONDS
    results = Results(soak.engine, soak.world.clock)
    for job in soak.queue.jobs():
        attempts = results.attempts(job.id)
        assert "lost" not in [attempt.outcome for attempt in attempts]
        done = [attempt.stage for attempt in attempts if attempt.outcome == "done"]
        assert len(done) == len(set(done))
    assert not (soak.folder / "broken-rules").exists()
    soak.hub.kill()
    soak.hub.wait()
    soak.hub.stdout.close()
    soak.engine.dispose()
