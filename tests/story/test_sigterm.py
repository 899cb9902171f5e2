"""SIGTERM ends the bot within ten seconds, whatever the Hub does; the job is given back."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hubbot.lifecycle import State
from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from tests.hub.embedded import LFS_WARNING, running
from tests.hub.silent import server
from tests.story.at_publish import Prepared, job_stands, prepared, seen, undisturbed

__all__ = ["prepared"]
ROOT = Path(__file__).parents[2]


def test_a_hub_that_accepts_and_never_answers_does_not_keep_the_bot_alive(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    queue = Queue(engine, lambda: datetime.now(UTC))
    job, _ = queue.enqueue("a/b", "a" * 40, ("4bit",), "4bit", requested_by="test")
    with server(()) as endpoint:
        env = {
            **os.environ, "HUBBOT_DATA_DIR": str(tmp_path), "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT), "HUBBOT_WATCH": '[{"name": "all"}]',
        }  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "hubbot", "run"], env=env)
        try:
            deadline = time.monotonic() + 120
            while queue.job(job.id).state is not State.RUNNING:
                assert time.monotonic() < deadline, "the job was never claimed"
                time.sleep(0.2)
            time.sleep(1)
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert time.monotonic() - told < 10
        finally:
            process.kill()
    after = queue.job(job.id)
    engine.dispose()
    assert (after.state, after.attempts) == (State.WAITING, 0)


@pytest.mark.filterwarnings(LFS_WARNING)
@pytest.mark.parametrize(("mode", "weights"), [("xet", "/v1/xorbs/"), ("lfs", "^/lfs/")])
def test_an_upload_to_a_hub_that_takes_it_in_drop_by_drop_is_left_and_done_later(
    prepared: Prepared, mode: str, weights: str
) -> None:
    whole, _ = undisturbed(prepared, mode)
    with running(prepared.again()) as site:
        # Longer than the bot has to end, on the slowest machine: what is under way must not arrive meanwhile.
        site.faults.trickle("*", weights, pause=60, times=99)
        process = prepared.start(site, mode)
        try:
            deadline = time.monotonic() + 60
            while not any(one.received for one in site.faults.exchanges("*", weights)):
                assert time.monotonic() < deadline, "the upload never began"
                assert process.poll() is None
                time.sleep(0.05)
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert time.monotonic() - told < 10
        finally:
            process.kill()
            process.wait()
        assert not [one for one in site.faults.exchanges("*", weights) if one.status], "the upload had ended"
        # The one attempt is that of the bot which was killed to prepare this.
        assert job_stands(prepared) == (State.WAITING, 1)
        left = seen(site)
        assert (left or {}).get("files") != whole["files"]
        assert prepared.old is None or (left is not None and not left["private"])
        site.faults.clear()
        assert prepared.start(site, mode).wait(120) == 0
        assert seen(site) == whole
