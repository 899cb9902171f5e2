"""Downloads and uploads go on beside the one stage that the machine computes; one job is fetched ahead."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
import sqlalchemy as sa

from hubbot.errors import TryLater
from hubbot.jobs import worker as module
from hubbot.jobs.lanes import LANES, run_lanes
from hubbot.jobs.pauses import Pauses
from hubbot.jobs.retry import Backoff
from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Job, Outcome, Published, Stage, StageDone, State
from hubbot.store.outages import Outages
from hubbot.store.queue import Ended, Queue
from hubbot.store.results import Results


def now() -> datetime:
    return datetime.now(UTC)


class Factory:
    """A runner whose stages take a while, and what they saw of each other."""

    def __init__(self, engine: sa.Engine) -> None:
        self.queue, self.results = Queue(engine, now), Results(engine, now)
        self.at_once: set[frozenset[Stage]] = set()
        self.under_way: list[Stage] = []
        self.most_fetched = 0
        self.told: list[str] = []
        self.fail: BaseException | None = None
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.worker = Worker(
            queue=self.queue,
            results=self.results,
            run_stage=self.run_stage,
            emit=lambda event, **fields: self.told.append(event),
            retry=Backoff(first_seconds=1, longest_seconds=1, max_attempts=3, random=Random(1)),
            pauses=Pauses(outages=Outages(engine), probe=lambda: None, clock=now, runner="mac"),
            clock=now,
            runner="mac",
            lease_seconds=30,
            beat_seconds=1,
            max_ram_bytes=None,
        )

    def run_stage(self, job: Job, cancelled: threading.Event) -> Outcome:
        with self.lock:
            self.under_way.append(job.stage)
            self.at_once.add(frozenset(self.under_way))
            assert sum(stage in LANES["compute"] for stage in self.under_way) <= 1
        if self.fail is not None:
            raise self.fail
        if job.stage in {Stage.FETCH, Stage.CONVERT, Stage.PUBLISH}:
            cancelled.wait(0.15)
        with self.lock:
            self.under_way.remove(job.stage)
        waiting = [one for one in self.queue.jobs(State.WAITING) if one.stage is Stage.CONVERT]
        self.most_fetched = max(self.most_fetched, len(waiting))
        return Published() if job.stage is Stage.PUBLISH else StageDone()

    def enqueue(self, number: int) -> None:
        for one in range(number):
            self.queue.enqueue(f"org/{one}", "a" * 40, ("4bit",), "4bit", requested_by="test")

    def run_until_all_are_published(self) -> None:
        lanes = threading.Thread(target=run_lanes, args=(self.worker, self.stop))
        lanes.start()
        try:
            deadline = time.monotonic() + 20
            while self.queue.counts()[State.PUBLISHED] < len(self.queue.jobs()):
                assert time.monotonic() < deadline, self.queue.counts()
                time.sleep(0.02)
        finally:
            self.stop.set()
            lanes.join(10)
        assert not lanes.is_alive()


@pytest.fixture
def factory(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Factory]:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.02)
    made = Factory(engine)
    yield made
    made.stop.set()


def test_every_stage_has_one_lane() -> None:
    assert sorted(stage for lane in LANES.values() for stage in lane) == sorted(Stage)


def test_jobs_overlap_in_different_lanes_and_never_compute_at_once(factory: Factory) -> None:
    factory.enqueue(5)
    factory.run_until_all_are_published()
    assert any({Stage.FETCH, Stage.CONVERT} <= seen for seen in factory.at_once)
    assert any({Stage.PUBLISH, Stage.CONVERT} <= seen for seen in factory.at_once)
    for job in factory.queue.jobs():
        words = [attempt.outcome for attempt in factory.results.attempts(job.id)]
        assert words == ["done"] * 8 + ["published"]


def test_no_more_than_one_job_is_fetched_ahead(factory: Factory) -> None:
    factory.enqueue(6)
    factory.run_until_all_are_published()
    # A lane whose database did not answer for a moment gives its job back, which then waits beside the one ahead.
    assert factory.most_fetched <= 1 + factory.told.count("given_back")


def test_a_lane_whose_process_ends_ends_the_others(factory: Factory) -> None:
    factory.enqueue(1)
    factory.fail = SystemExit(3)
    with pytest.raises(SystemExit):
        run_lanes(factory.worker, factory.stop)
    assert factory.stop.is_set()
    (job,) = factory.queue.jobs()
    assert (job.state, job.attempts) == (State.WAITING, 0)


def test_a_lane_that_lost_the_database_for_a_moment_leaves_the_other_lanes_jobs_alone(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.enqueue(3)
    claim, calls = factory.queue.claim, []

    def shaky(*arguments: object, **options: object) -> Job | None:
        calls.append(1)
        if len(calls) % 3 == 0:
            raise TryLater("the database does not answer")
        return claim(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(factory.queue, "claim", shaky)
    factory.run_until_all_are_published()
    assert len(calls) > 3
    for job in factory.queue.jobs():
        assert [attempt.outcome for attempt in factory.results.attempts(job.id)] == ["done"] * 8 + ["published"]


def test_a_lane_that_gives_a_job_on_does_not_let_go_of_the_next_lanes_hold_on_it(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.enqueue(1)
    bring, compute = (replace(factory.worker, stages=LANES[name]) for name in ("bring", "compute"))
    apply, taken = factory.queue.apply, []

    def apply_and_take(before: Job, after: Job, ended: Ended | None = None) -> bool:
        stored = apply(before, after, ended)
        if after.state is State.WAITING and after.stage is Stage.CONVERT:
            taken.append(compute._claim())
        return stored

    monkeypatch.setattr(factory.queue, "apply", apply_and_take)
    bring.run_until_idle(factory.stop, 0)
    assert [job is not None for job in taken] == [True]
    bring._start_over()
    (job,) = factory.queue.jobs()
    assert (job.state, job.stage, job.attempts) == (State.RUNNING, Stage.CONVERT, 0)


def test_a_lane_takes_only_jobs_at_its_stages(factory: Factory) -> None:
    factory.enqueue(1)
    publisher = replace(factory.worker, stages=LANES["publish"])
    publisher.run_until_idle(factory.stop, 0)
    (job,) = factory.queue.jobs()
    assert (job.state, job.stage) == (State.WAITING, Stage.INSPECT)
