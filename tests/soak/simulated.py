"""A runner whose queue, leases, lanes, outages and states are real, and whose stages' work is replaced.

python -m tests.soak.simulated DATABASE_URL RUNNER FOLDER SEED

The world is a folder: world.json says what is broken now (hub, token, limit, disk, downloads, children) and by
how much the clock has jumped; hub/ is what is published; work/ what lies on the disk; children/ names the
processes at work; broken-rules says what must never happen.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from hubbot.errors import (
    ChildDied,
    HubUnavailable,
    NotMixtureOfExperts,
    OutOfRoom,
    RateLimited,
    Superseded,
    TokenRejected,
    TookTooLong,
    ValueMismatch,
)
from hubbot.jobs import pauses, worker
from hubbot.jobs.lanes import run_lanes
from hubbot.jobs.pauses import HUB_STAGES, Pauses
from hubbot.jobs.retry import Backoff
from hubbot.jobs.takeovers import Takeovers
from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Job, Outcome, Published, Stage, StageDone
from hubbot.store.database import open_engine
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests.soak.simulated_hub import payload

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Seconds of the simulated world in one of ours.
SPEED = 120.0
LEASE_SECONDS = 300.0
BEAT_SECONDS = 0.4
# How long a request, and a child without progress, may last: seconds of ours.
REQUEST_SECONDS = 1.0
CHILD_SECONDS = 1.5


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
        self.ask(do="whoami")

    def ask(self, **asked: str) -> dict[str, Any]:
        """Return the Hub's answer; raises what a Hub that is down, hangs, limits or refuses is to the bot."""
        port = int((self.folder / "port").read_text(encoding="ascii"))
        try:
            with socket.create_connection(("127.0.0.1", port), REQUEST_SECONDS) as connection:
                connection.sendall(json.dumps(asked).encode() + b"\n")
                line = connection.makefile("rb").readline()
            told: dict[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            raise HubUnavailable(f"the Hub does not answer: {error}") from error
        match told.get("error"):
            case "hub":
                raise HubUnavailable("503")
            case "limit":
                raise RateLimited("too many requests", after_seconds=60)
            case "token":
                raise TokenRejected("the token is revoked")
            case "older":
                raise Superseded("a newer revision is published")
        return told

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
            if job.stage is Stage.FETCH:
                self._fetch(job, work)
            if job.stage in {Stage.CONVERT, Stage.VERIFY} and self._random.random() < 0.1:
                self._compute(cancelled)
            (work / job.stage).touch()
            if job.stage is Stage.PUBLISH:
                recorded = self._world.folder / "recorded" / str(job.id)
                if recorded.exists():
                    # Killed between the commit and its being written down in the job.
                    shutil.rmtree(work)
                    return Published()
                made = (work / "source").read_text(encoding="utf-8")
                self._world.ask(do="commit", repo=job.repo, revision=job.revision, data=made)
                recorded.touch()
                shutil.rmtree(work)
                return Published()
            return StageDone()

    def _fail(self, job: Job) -> None:
        kind = job.repo.partition("/")[0]
        if job.stage in HUB_STAGES:
            self._world.probe()
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

    def _fetch(self, job: Job, work: Path) -> None:
        """Download the source; what is not as it should be is thrown away."""
        data = self._world.ask(do="get", repo=job.repo, revision=job.revision)["data"]
        if data.encode() != payload(job.repo, job.revision):
            raise HubUnavailable("the download is cut or has another sha256")
        (work / "source").write_text(data, encoding="utf-8")

    def _compute(self, cancelled: threading.Event) -> None:
        """Let a process work, which may be killed, or hang and be ended for it."""
        seconds = 60.0 if self._world.state().get("hang") else self._random.uniform(0.02, 0.3)
        child = subprocess.Popen(["sleep", str(seconds)])
        name = self._world.folder / "children" / str(child.pid)
        name.touch()
        until = time.monotonic() + CHILD_SECONDS
        try:
            while child.poll() is None:
                if time.monotonic() > until:
                    raise TookTooLong("no progress")
                if cancelled.wait(0.01):
                    raise ChildDied("told to stop")
        finally:
            child.kill()
            child.wait()
            name.unlink(missing_ok=True)
        if child.returncode:
            raise ChildDied(f"the child ended with {child.returncode}")


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
        beat_seconds=BEAT_SECONDS,
        max_ram_bytes=None,
    )


def main(url: str, name: str, folder: str, seed: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    pauses.LONGEST_SECONDS = 60.0
    worker.IDLE_SECONDS = 0.05
    made = runner(url, name, Path(folder), int(seed))

    takeovers = Takeovers(queue=made.queue, retry=made.retry, runner=name, silent_seconds=3 * BEAT_SECONDS)

    def rescue() -> None:
        while not stop.wait(0.5):
            takeovers.look()

    threading.Thread(target=rescue, daemon=True).start()
    print("up", flush=True)  # noqa: T201  the test waits for it
    run_lanes(made, stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
