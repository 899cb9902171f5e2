"""A real worker process for test_worker: it sleeps in one stage and waits to be killed there.

python -m tests.jobs.working DATABASE_URL RUNNER SLEEP_AT LEASE_SECONDS
"""

import sys
import threading
from datetime import UTC, datetime
from random import Random

from hubbot.jobs.pauses import Pauses
from hubbot.jobs.retry import Backoff
from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Job, Outcome, Published, Stage, StageDone
from hubbot.store.database import open_engine
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results


def now() -> datetime:
    return datetime.now(UTC)


def main(url: str, runner: str, sleep_at: str, lease_seconds: str) -> None:
    def run_stage(job: Job, cancelled: threading.Event) -> Outcome:
        print(job.stage, flush=True)  # noqa: T201  the test reads it
        if job.stage == sleep_at:
            cancelled.wait(60)
        return Published() if job.stage is Stage.PUBLISH else StageDone()

    engine = open_engine(url)
    worker = Worker(
        queue=Queue(engine, now),
        results=Results(engine, now),
        run_stage=run_stage,
        emit=lambda event, **_: None,
        retry=Backoff(first_seconds=1, longest_seconds=1, max_attempts=3, random=Random(1)),
        pauses=Pauses(outages=Outages(engine), probe=lambda: None, clock=now, runner=runner),
        clock=now,
        runner=runner,
        lease_seconds=float(lease_seconds),
        beat_seconds=0.2,
        max_ram_bytes=None,
    )
    worker.run_until_idle(threading.Event(), patience_seconds=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
