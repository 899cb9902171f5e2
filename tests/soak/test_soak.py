"""Many jobs under many faults: each ends in its right state, none is lost, doubled or stuck."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from hubbot.lifecycle import Job, State
from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests import postgres
from tests.soak.simulated import World
from tests.soak.simulated_hub import payload

ROOT = Path(__file__).parents[2]
RIGHT = {"good": State.PUBLISHED, "dense": State.SKIPPED, "wrong": State.FAILED, "poison": State.PARKED}
DAYS = 86400.0
SPECIAL = ("kill", "child", "hub_kill", "hub_hang", "jump", "commit")
FAULTS = (*SPECIAL, "kill", "hub", "limit", "token", "disk", "hang", "corrupt", "truncated")


class Soak:
    """A queue with jobs of every kind, runners in processes of their own, and what goes wrong around them."""

    def __init__(self, url: str, folder: Path, runners: int, seed: int) -> None:
        self.url, self.folder, self.random = url, folder, Random(seed)
        for name in ("locks", "work", "hub", "children", "recorded"):
            (folder / name).mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = str(server.getsockname()[1])
        (folder / "port").write_text(self.port, encoding="ascii")
        self.hub: subprocess.Popen[bytes] | None = None
        (folder / "epoch").write_text(str(time.time()), encoding="ascii")
        self.state: dict[str, float] = {}
        self.set_world()
        self.world = World(folder, time.time())
        self.engine = open_engine(url)
        upgrade(self.engine)
        self.queue = Queue(self.engine, self.world.clock)
        self.names = [f"mac{number}" for number in range(runners)]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.faults: Counter[str] = Counter()
        self.kills = 0

    def set_world(self, **state: float) -> None:
        self.state = {**self.state, **state}
        new = self.folder / "world.new"
        new.write_text(json.dumps(self.state), encoding="ascii")
        new.replace(self.folder / "world.json")

    def enqueue(self, number: int) -> None:
        """Enqueue repos: one in twenty poisons its runner, one in ten is dense, one in twenty is refused."""
        for index in range(number):
            kind = {0: "poison", 1: "dense", 2: "dense", 3: "wrong"}.get(index % 20, "good")
            self.commit(f"{kind}/{index}", 0)

    def commit(self, repo: str, revision: int) -> None:
        self.queue.enqueue(
            repo, str(revision), ("4bit",), "4bit", requested_by="test", newest=True, priority=revision
        )

    def start(self, name: str) -> None:
        seed = str(self.random.randrange(1 << 30))
        self.processes[name] = self._started("simulated", self.url, name, str(self.folder), seed)

    def start_hub(self) -> None:
        self.hub = self._started("simulated_hub", str(self.folder), self.port)

    def _started(self, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"tests.soak.{module}", *arguments]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE)

    def keep_running(self) -> None:
        """Do what launchd does, and whoever keeps the Hub."""
        if self.hub is None or self.hub.poll() is not None:
            if self.hub is not None and self.hub.stdout is not None:
                self.hub.stdout.close()
            self.start_hub()
        for name in self.names:
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                if process is not None and process.stdout is not None:
                    process.stdout.close()
                    self.kills += 1
                self.start(name)

    def storm(self, seconds: float) -> None:
        """Let things go wrong, one after the other."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.keep_running()
            kind = self.random.choice(FAULTS)
            self.faults[kind] += 1
            if kind in SPECIAL:
                getattr(self, f"fault_{kind}")()
            else:
                self.set_world(**{kind: 1})
                time.sleep(self.random.uniform(0.1, 0.6))
                self.set_world(**{kind: 0})
            time.sleep(self.random.uniform(0.05, 0.5))

    def fault_kill(self) -> None:
        self.processes[self.random.choice(self.names)].kill()

    def fault_child(self) -> None:
        """Kill the first child that is seen at work."""
        until = time.monotonic() + 2
        while Path("/proc").exists() and time.monotonic() < until:
            for file in (self.folder / "children").iterdir():
                with suppress(OSError):
                    # Whoever started it may be killed itself, and its number go to another.
                    if Path(f"/proc/{file.name}/comm").read_bytes() == b"sleep\n":
                        os.kill(int(file.name), signal.SIGKILL)
                        self.faults["child killed"] += 1
                        return
                file.unlink(missing_ok=True)
            time.sleep(0.01)

    def fault_hub_kill(self) -> None:
        assert self.hub is not None
        self.hub.kill()
        self.hub.wait()
        time.sleep(self.random.uniform(0, 0.6))

    def fault_hub_hang(self) -> None:
        assert self.hub is not None
        self.hub.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.1, 2))
        self.hub.send_signal(signal.SIGCONT)

    def fault_jump(self) -> None:
        self.set_world(jump=self.state.get("jump", 0) + self.random.choice((-2 * DAYS, 2 * DAYS)))

    def fault_commit(self) -> None:
        repo = self.random.choice([job.repo for job in self.queue.jobs(limit=500)])
        self.commit(repo, self.faults["commit"])

    def settle(self, seconds: float) -> None:
        """Let everything be well, until nothing waits or runs."""
        until = time.monotonic() + seconds
        while (counts := self.queue.counts())[State.WAITING] + counts[State.RUNNING]:
            assert time.monotonic() < until, (counts, self.stuck())
            self.keep_running()
            time.sleep(0.2)

    def stuck(self) -> list[str]:
        jobs = [*self.queue.jobs(State.WAITING, 5), *self.queue.jobs(State.RUNNING, 5)]
        return [f"{job.id} {job.repo} {job.state} {job.stage} {job.attempts} {job.not_before}" for job in jobs]

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            # One that was started a moment ago does not listen yet.
            assert process.wait(10) in {0, -signal.SIGKILL, -signal.SIGTERM}
            if process.stdout is not None:
                process.stdout.close()
        if self.hub is not None and self.hub.stdout is not None:
            self.hub.kill()
            self.hub.wait()
            self.hub.stdout.close()

    def ended_wrong(self) -> list[str]:
        """Return the jobs that are not in their right state; an older revision may be superseded by a newer."""
        jobs = self.queue.jobs()
        newest: dict[str, int] = {}
        for job in jobs:
            newest[job.repo] = max(newest.get(job.repo, 0), int(job.revision))
        return [_told(job) for job in jobs if not _is_right(job, newest[job.repo])]


def _is_right(job: Job, newest: int) -> bool:
    superseded = job.state is State.SKIPPED and (job.error or {}).get("kind") == "Superseded"
    if superseded:
        return int(job.revision) < newest
    return job.state is RIGHT[job.repo.partition("/")[0]]


def _told(job: Job) -> str:
    return f"{job.repo}@{job.revision} {job.state} at {job.stage}: {job.error}"


def judge(soak: Soak) -> None:
    """Say that everything is as it should be."""
    assert soak.ended_wrong() == []
    rules = soak.folder / "broken-rules"
    assert not rules.exists(), rules.read_text()
    results = Results(soak.engine, soak.world.clock)
    for job in soak.queue.jobs():
        attempts = results.attempts(job.id)
        words = [(attempt.stage, attempt.outcome) for attempt in attempts]
        assert all(attempt.ended_at is not None for attempt in attempts), _told(job)
        assert max(Counter(word for word in words if word[1] == "done").values(), default=0) <= 1, words
        assert [outcome for _, outcome in words].count("published") == (job.state is State.PUBLISHED), words
        folder = soak.folder / "work" / f"job-{job.id}"
        assert not (job.state is State.PUBLISHED and folder.exists()), _told(job)
        if job.state is State.PUBLISHED:
            there = soak.folder / "hub" / job.repo.replace("/", "--") / job.revision
            assert there.read_bytes() == payload(job.repo, job.revision), _told(job)


def soundness(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [*found, *connection.exec_driver_sql("PRAGMA foreign_key_check").all()]


def run(url: str, folder: Path, *, jobs: int, runners: int, seconds: float, seed: int, patience: float) -> Soak:
    soak = Soak(url, folder, runners, seed)
    soak.enqueue(jobs)
    try:
        soak.storm(seconds)
        soak.settle(patience)
    finally:
        soak.stop()
    judge(soak)
    return soak


@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [(60, 10), pytest.param(2000, 400, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_every_job_ends_in_its_right_state_whatever_happens_around_it(
    tmp_path: Path, jobs: int, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    soak = run(
        f"sqlite:///{tmp_path}/hubbot.db", tmp_path / "world",
        jobs=jobs, runners=1, seconds=seconds, seed=jobs, patience=60 + jobs,
    )  # fmt: skip
    assert soundness(soak.engine) == ["ok"]
    assert soak.kills > 0
    record_property("faults", str(soak.faults))
    soak.engine.dispose()


@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [(40, 8), pytest.param(2000, 300, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_four_runners_on_one_postgres_lose_and_double_nothing(
    tmp_path: Path, postgres_server: str, jobs: int, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    with postgres.database(postgres_server, f"soak_{jobs}") as url:
        soak = run(
            url, tmp_path / "world",
            jobs=jobs, runners=4, seconds=seconds, seed=jobs, patience=60 + jobs,
        )  # fmt: skip
        assert soak.kills > 0
        record_property("faults", str(soak.faults))
        soak.engine.dispose()
