"""SIGTERM ends the bot within ten seconds, whatever the Hub does; the job is given back."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from hubbot.lifecycle import State
from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from tests.hub.silent import server

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
