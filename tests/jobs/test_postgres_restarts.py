"""PostgreSQL is stopped and started while two runners work: both go on, no job is lost or doubled."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from random import Random

import pytest

from hubbot.jobs import worker as module
from hubbot.jobs.pauses import Pauses
from hubbot.jobs.retry import Backoff
from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Job, Outcome, Published, Stage, StageDone, State
from hubbot.store.database import open_engine, upgrade
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests import postgres
from tests.postgres import Server

JOBS = 24


def now() -> datetime:
    return datetime.now(UTC)


class Floor:
    """What the runners do: which stage of which job is under way, and which was done how often."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.under_way: set[int] = set()
        self.doubled: list[int] = []
        self.done: Counter[tuple[int, Stage]] = Counter()

    def run_stage(self, job: Job, cancelled: threading.Event) -> Outcome:
        with self.lock:
            if job.id in self.under_way:
                self.doubled.append(job.id)
            self.under_way.add(job.id)
        time.sleep(0.01)
        with self.lock:
            self.under_way.discard(job.id)
            self.done[job.id, job.stage] += 1
        return Published() if job.stage is Stage.PUBLISH else StageDone()

    def has_done(self, stages: int) -> bool:
        return sum(self.done.values()) >= stages


@pytest.fixture
def server() -> Iterator[Server]:
    if (reason := postgres.missing()) is not None:
        pytest.skip(reason)
    with postgres.running() as one:
        yield one


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_restarted_costs_no_job_and_no_runner(
    server: Server, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    caplog.set_level(logging.WARNING, "hubbot")
    floor, stop = Floor(), threading.Event()
    url = server.url.format("postgres")
    engines = [open_engine(url) for _ in range(3)]
    upgrade(engines[0])
    queue, results = Queue(engines[0], now), Results(engines[0], now)
    for number in range(JOBS):
        queue.enqueue(f"fables/Elk-{number}", "a" * 40, ("4bit",), "4bit", requested_by="test")
    workers = [
        Worker(
            queue=Queue(engine, now),
            results=Results(engine, now),
            run_stage=floor.run_stage,
            emit=lambda event, **_: None,
            retry=Backoff(first_seconds=0.01, longest_seconds=0.02, max_attempts=6, random=Random(1)),
            pauses=Pauses(outages=Outages(engine), probe=lambda: None, clock=now, runner=f"mac{number}"),
            clock=now,
            runner=f"mac{number}",
            lease_seconds=30,
            beat_seconds=0.01,
            max_ram_bytes=None,
        )
        for number, engine in enumerate(engines[1:])
    ]
    threads = [threading.Thread(target=worker.run_forever, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            target = sum(floor.done.values()) + 2 * len(Stage)
            _wait(partial(floor.has_done, target))
            # X + 2 * len(Stage))
            server.stop(mode)
            time.sleep(0.1)
            assert all(thread.is_alive() for thread in threads)
            server.start()
        _wait(lambda: sum(n for (_, stage), n in floor.done.items() if stage is Stage.PUBLISH) >= JOBS)
        _wait(lambda: queue.counts()[State.PUBLISHED] == JOBS)
        assert all(thread.is_alive() for thread in threads)
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert floor.doubled == []
    jobs = queue.jobs()
    words = {job.id: Counter(attempt.outcome for attempt in results.attempts(job.id)) for job in jobs}
    assert {job.state for job in jobs} == {State.PUBLISHED}
    right = {"published": 1, "done": len(Stage) - 1}
    assert all({word: counted[word] for word in right} == right for counted in words.values()), words
    # What was at hand when the server went is done again, and nothing else: two stages for each restart.
    assert sum(floor.done.values()) <= JOBS * len(Stage) + 2 * len(workers)
    assert "Traceback" not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)
    for engine in engines:
        engine.dispose()


def _wait(until: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)
