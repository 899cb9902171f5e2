"""A runner whose queue, leases, lanes, outages and states are real, and whose stages' work is replaced.

python -m tests.soak.simulated DATABASE_URL RUNNER FOLDER SEED

The world is a folder: world.json says what is broken now (hub, token, limit, disk) and by how much the clock has
jumped; hub/ is what is published; work/ what lies on the disk; broken-rules says what must never happen.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from hubbot.errors import (
    ChildDied,
    HubbotError,
    HubUnavailable,
    NotMixtureOfExperts,
    OutOfRoom,
    RateLimited,
    Superseded,
    TokenRejected,
    ValueMismatch,
)
from hubbot.jobs import pauses, worker
from hubbot.jobs.lanes import run_lanes
from hubbot.jobs.pauses import HUB_STAGES, Pauses
from hubbot.jobs.retry import Backoff
from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Job, Outcome, Published, Stage, StageDone
from hubbot.store.database import open_engine
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Seconds of the simulated world in one of ours.
SPEED = 120.0
LEASE_SECONDS = 300.0


class World:
    """What the runner is in; every process of a test reads the same folder."""

    def __init__(self, folder: Path, epoch: float) -> None:
        self.folder, self._epoch = folder, epoch

    def state(self) -> dict[str, float]:
        found: dict[str, float] = json.loads((self.folder / "world.json").read_text(encoding="ascii"))
        return found

    def clock(self) -> datetime:
        return START + timedelta(seconds=(time.time() - self._epoch) * SPEED + self.state().get("jump", 0))

    def probe(self) -> None:
        if (error := self.of_the_hub()) is not None:
            raise error

    def of_the_hub(self) -> HubbotError | None:
        now = self.state()
        if now.get("hub"):
            return HubUnavailable("the Hub is down")
        if now.get("limit"):
            return RateLimited("too many requests", after_seconds=60)
        if now.get("token"):
            return TokenRejected("the token is revoked")
        return None

    def never(self, what: str) -> None:
        """Write down what must never happen."""
        with (self.folder / "broken-rules").open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")

    @contextmanager
    def alone(self, job: Job) -> Iterator[None]:
        """Hold the job; two that work on one job at once break a rule."""
        with (self.folder / "locks" / str(job.id)).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.never(f"job {job.id} was under way twice at {job.stage}")
            yield


class Stages:
    """What the stages do here: as much as needed to go wrong as real ones do."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random

    def run(self, job: Job, cancelled: threading.Event) -> Outcome:
        with self._world.alone(job):
            self._fail(job)
            cancelled.wait(self._random.uniform(0, 0.004))
            work = self._world.folder / "work" / f"job-{job.id}"
            work.mkdir(parents=True, exist_ok=True)
            (work / job.stage).touch()
            if job.stage is Stage.PUBLISH:
                self._publish(job)
                shutil.rmtree(work)
                return Published()
            return StageDone()

    def _fail(self, job: Job) -> None:
        kind = job.repo.partition("/")[0]
        error = self._world.of_the_hub() if job.stage in HUB_STAGES else None
        if error is not None:
            raise error
        if self._world.state().get("disk") and job.stage in {Stage.FETCH, Stage.CONVERT}:
            raise OutOfRoom("the disk is full")
        if kind == "dense" and job.stage is Stage.CLASSIFY:
            raise NotMixtureOfExperts("no experts")
        if kind == "wrong" and job.stage is Stage.VERIFY:
            raise ValueMismatch("a scale is off by one")
        if kind == "poison" and job.stage is Stage.CONVERT:
            if self._random.random() < 0.2:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ChildDied("Metal aborted")
        if self._random.random() < 0.01:
            raise self._random.choice((HubUnavailable("truncated"), ChildDied("killed")))

    def _publish(self, job: Job) -> None:
        place = self._world.folder / "hub" / job.repo.replace("/", "--")
        place.mkdir(parents=True, exist_ok=True)
        newest = max((int(file.name) for file in place.iterdir()), default=-1)
        revision = int(job.revision)
        if newest > revision:
            raise Superseded("a newer revision is published")
        # The same commit twice is none.
        (place / job.revision).touch()
        if max(int(file.name) for file in place.iterdir()) > revision:
            self._world.never(f"{job.repo}: {revision} over a newer one")


def runner(url: str, name: str, folder: Path, seed: int) -> Worker:
    """Return the runner; `run_lanes` starts it."""
    world = World(folder, float((folder / "epoch").read_text(encoding="ascii")))
    random = Random(seed)
    engine = open_engine(url)
    return Worker(
        queue=Queue(engine, world.clock),
        results=Results(engine, world.clock),
        run_stage=Stages(world, random).run,
        emit=lambda event, **fields: None,
        retry=Backoff(first_seconds=30, longest_seconds=600, max_attempts=6, random=random),
        pauses=Pauses(outages=Outages(engine), probe=world.probe, clock=world.clock, runner=name),
        clock=world.clock,
        runner=name,
        lease_seconds=LEASE_SECONDS,
        beat_seconds=0.4,
        max_ram_bytes=None,
    )


def main(url: str, name: str, folder: str, seed: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    pauses.LONGEST_SECONDS = 60.0
    worker.IDLE_SECONDS = 0.05
    made = runner(url, name, Path(folder), int(seed))

    def rescue() -> None:
        while not stop.wait(0.5):
            made.queue.rescue(made.retry, name)

    threading.Thread(target=rescue, daemon=True).start()
    print("up", flush=True)  # noqa: T201  the test waits for it
    run_lanes(made, stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
