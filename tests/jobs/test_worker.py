"""A worker takes jobs through their stages, stops when told, and loses gracefully."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hubbot.deadlines import Interrupted
from hubbot.errors import HubbotError, HubUnavailable, NotMixtureOfExperts, TryLater
from hubbot.jobs import worker as module
from hubbot.jobs.pauses import Pauses
from hubbot.jobs.worker import SharedLook, Worker
from hubbot.lifecycle import Cancelled, Job, Outcome, Published, Refused, Stage, StageDone, State
from hubbot.store.outages import Outages
from hubbot.store.queue import Ended, Queue
from hubbot.store.results import Results

ROOT = Path(__file__).parents[2]
STAGES = list(Stage)


def now() -> datetime:
    return datetime.now(UTC)


def three_attempts(attempts: int, error: TryLater) -> timedelta | None:
    return timedelta(hours=1) if attempts < 3 else None


class Shop:
    """A worker with a pipeline that can be told what happens at which stage."""

    def __init__(self, engine: sa.Engine) -> None:
        self.queue, self.results = Queue(engine, now), Results(engine, now)
        self.stop = threading.Event()
        self.visited: list[Stage] = []
        self.events: list[str] = []
        self.world: HubbotError | None = None
        self.probes = 0
        self.at: dict[Stage, Callable[[Job, threading.Event], Outcome]] = {}
        self.worker = Worker(
            queue=self.queue,
            results=self.results,
            run_stage=self.run_stage,
            emit=self.emit,
            retry=three_attempts,
            pauses=Pauses(outages=Outages(engine), probe=self.probe, clock=now, runner="mac"),
            clock=now,
            runner="mac",
            lease_seconds=30,
            beat_seconds=0.02,
            max_ram_bytes=None,
        )

    def probe(self) -> None:
        self.probes += 1
        if self.world is not None:
            raise self.world

    def emit(self, event: str, **fields: object) -> None:
        self.events.append(event)

    def run_stage(self, job: Job, cancelled: threading.Event) -> Outcome:
        self.visited.append(job.stage)
        if job.stage in self.at:
            return self.at[job.stage](job, cancelled)
        return Published() if job.stage is Stage.PUBLISH else StageDone()

    def enqueue(self, repo: str = "org/moe") -> Job:
        return self.queue.enqueue(repo, "a" * 40, ("4bit",), "4bit", requested_by="test")[0]

    def work(self) -> None:
        self.worker.run_until_idle(self.stop, patience_seconds=0)

    def words(self, job: Job) -> list[str | None]:
        return [attempt.outcome for attempt in self.results.attempts(job.id)]


@pytest.fixture
def shop(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    return Shop(engine)


def give_up_when_told(job: Job, cancelled: threading.Event) -> Outcome:
    assert cancelled.wait(10)
    raise Interrupted("the child was stopped")


def test_a_job_goes_through_all_stages_under_one_claim(shop: Shop) -> None:
    job = shop.enqueue()
    shop.work()
    assert shop.visited == STAGES
    assert shop.queue.job(job.id).state is State.PUBLISHED
    assert shop.words(job) == ["done"] * 8 + ["published"]
    assert shop.events == ["claimed", *["stage_started", "stage_finished"] * 9]


@pytest.mark.parametrize("raised", [True, False])
def test_a_refusal_ends_the_job_whether_raised_or_returned(shop: Shop, *, raised: bool) -> None:
    def refuse(job: Job, cancelled: threading.Event) -> Outcome:
        error = NotMixtureOfExperts("no experts")
        if raised:
            raise error
        return Refused(error=error)

    job = shop.enqueue()
    shop.at[Stage.CLASSIFY] = refuse
    shop.work()
    after = shop.queue.job(job.id)
    assert (after.state, after.stage, after.error) == (
        State.SKIPPED,
        Stage.CLASSIFY,
        NotMixtureOfExperts("no experts").to_json(),
    )
    assert shop.results.attempts(job.id)[-1].error == after.error


def test_a_job_in_its_pause_does_not_hold_up_the_others(shop: Shop) -> None:
    def down_for_the_first(job: Job, cancelled: threading.Event) -> Outcome:
        return Refused(error=HubUnavailable("down")) if job.repo == "first" else StageDone()

    shop.at[Stage.FETCH] = down_for_the_first
    first, second = shop.enqueue("first"), shop.enqueue("second")
    shop.work()
    assert shop.queue.job(first.id).state is State.WAITING
    assert shop.queue.job(second.id).state is State.PUBLISHED


def test_a_patient_worker_waits_for_a_short_pause(shop: Shop) -> None:
    def down_once(job: Job, cancelled: threading.Event) -> Outcome:
        return StageDone() if job.attempts else Refused(error=HubUnavailable("down"))

    shop.at[Stage.FETCH] = down_once
    job = shop.enqueue()
    worker = replace(shop.worker, retry=lambda attempts, error: timedelta(seconds=0.2))
    worker.run_until_idle(shop.stop, patience_seconds=1)
    assert shop.queue.job(job.id).state is State.PUBLISHED
    assert shop.visited.count(Stage.FETCH) == 2
    assert shop.visited.count(Stage.INSPECT) == 1


def test_an_unforeseen_exception_fails_the_job_by_name_and_spills_no_token(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(job: Job, cancelled: threading.Event) -> Outcome:
        raise KeyError("GET https://user:pass@hub/x with Bearer abc.def and hf_abcdefghijklmnop")

    shop.at[Stage.PLAN] = crash
    job = shop.enqueue()
    with caplog.at_level(logging.ERROR, "hubbot"):
        shop.work()
    after = shop.queue.job(job.id)
    assert after.state is State.FAILED
    assert after.error is not None
    assert after.error["kind"] == "HubbotError"
    assert after.error["message"].startswith("KeyError: 'GET https://")
    for text in (after.error["message"], caplog.text):
        assert "[secret]" in text
        assert not [secret for secret in ("user:pass", "abc.def", "abcdefghijklmnop") if secret in text]
    assert "Traceback" in caplog.text


def test_a_pipeline_that_forgets_to_publish_fails_its_job_and_not_the_worker(shop: Shop) -> None:
    shop.at[Stage.PUBLISH] = lambda job, cancelled: StageDone()
    job = shop.enqueue()
    shop.work()
    after = shop.queue.job(job.id)
    assert after.state is State.FAILED
    assert after.error is not None
    assert "no stage follows publish" in after.error["message"]


def test_a_cancel_reaches_the_stage_at_work(shop: Shop) -> None:
    def cancel_and_wait(job: Job, cancelled: threading.Event) -> Outcome:
        shop.queue.cancel(job.id)
        return give_up_when_told(job, cancelled)

    shop.at[Stage.CONVERT] = cancel_and_wait
    job = shop.enqueue()
    shop.work()
    assert shop.queue.job(job.id).state is State.CANCELLED
    assert shop.words(job)[-1] == "cancelled"
    assert Stage.VERIFY not in shop.visited


def test_a_cancel_between_two_beats_is_obeyed_at_the_end_of_the_stage(shop: Shop) -> None:
    def cancel(job: Job, cancelled: threading.Event) -> Outcome:
        shop.queue.cancel(job.id)
        return StageDone()

    shop.at[Stage.CONVERT] = cancel
    job = shop.enqueue()
    replace(shop.worker, beat_seconds=60).run_until_idle(shop.stop, patience_seconds=0)
    assert shop.queue.job(job.id).state is State.CANCELLED
    assert Stage.VERIFY not in shop.visited


def test_a_shutdown_gives_the_job_back_without_counting_the_attempt(shop: Shop) -> None:
    def stop_and_wait(job: Job, cancelled: threading.Event) -> Outcome:
        shop.stop.set()
        return give_up_when_told(job, cancelled)

    shop.at[Stage.CONVERT] = stop_and_wait
    job = shop.enqueue()
    shop.work()
    after = shop.queue.job(job.id)
    assert (after.state, after.stage, after.attempts, after.lease) == (State.WAITING, Stage.CONVERT, 0, None)
    assert shop.words(job)[-1] == "released"
    assert "stopping" in shop.events


def test_a_stage_that_says_cancelled_at_a_shutdown_is_released_all_the_same(shop: Shop) -> None:
    def stop_and_obey(job: Job, cancelled: threading.Event) -> Outcome:
        shop.stop.set()
        assert cancelled.wait(10)
        return Cancelled()

    shop.at[Stage.CONVERT] = stop_and_obey
    job = shop.enqueue()
    shop.work()
    assert shop.queue.job(job.id).state is State.WAITING


def test_a_stage_that_finishes_during_a_shutdown_is_not_lost(shop: Shop) -> None:
    def stop_and_finish(job: Job, cancelled: threading.Event) -> Outcome:
        shop.stop.set()
        assert cancelled.wait(10)
        return StageDone()

    shop.at[Stage.CONVERT] = stop_and_finish
    job = shop.enqueue()
    shop.work()
    after = shop.queue.job(job.id)
    assert (after.state, after.stage) == (State.WAITING, Stage.VERIFY)


def test_an_interrupt_from_the_keyboard_gives_the_job_back_and_rises(shop: Shop) -> None:
    def interrupt(job: Job, cancelled: threading.Event) -> Outcome:
        raise KeyboardInterrupt

    shop.at[Stage.CONVERT] = interrupt
    job = shop.enqueue()
    with pytest.raises(KeyboardInterrupt):
        shop.work()
    assert shop.queue.job(job.id).state is State.WAITING
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


@pytest.mark.parametrize("beat_seconds", [0.02, 60])
def test_a_worker_that_lost_its_job_does_not_finish_it(shop: Shop, beat_seconds: float) -> None:
    def lose(job: Job, cancelled: threading.Event) -> Outcome:
        shop.queue.release_runner("mac", three_attempts)
        # PostgreSQL skips a row that a heartbeat looks at just now.
        while shop.queue.claim("other", 60) is None:
            time.sleep(0.01)
        if beat_seconds < 1:
            assert cancelled.wait(10)
        return StageDone()

    shop.at[Stage.CONVERT] = lose
    job = shop.enqueue()
    replace(shop.worker, beat_seconds=beat_seconds).run_until_idle(shop.stop, patience_seconds=0)
    after = shop.queue.job(job.id)
    assert (after.state, after.stage, after.runner) == (State.RUNNING, Stage.CONVERT, "other")
    assert shop.words(job)[-1] == "lost"
    assert "lost" in shop.events


def test_a_heartbeat_that_fails_once_beats_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beats: list[Job] = []
    twice = threading.Event()

    def heartbeat(queue: Queue, job: Job, lease_seconds: float) -> Job:
        beats.append(job)
        if len(beats) == 1:
            raise TryLater("the database does not answer")
        twice.set()
        return job

    def wait_for_beats(job: Job, cancelled: threading.Event) -> Outcome:
        assert twice.wait(10)
        return StageDone()

    monkeypatch.setattr(Queue, "heartbeat", heartbeat)
    shop.at[Stage.INSPECT] = wait_for_beats
    job = shop.enqueue()
    with caplog.at_level(logging.CRITICAL, "hubbot"):
        shop.work()
    assert shop.queue.job(job.id).state is State.PUBLISHED


def test_a_worker_that_runs_forever_takes_what_comes_and_outlives_its_database(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    apply, failures = Queue.apply, [TryLater("the database does not answer")]

    def apply_after_a_failure(queue: Queue, before: Job, after: Job, ended: Ended | None = None) -> bool:
        if failures and before.stage is Stage.CONVERT:
            raise failures.pop()
        return apply(queue, before, after, ended)

    monkeypatch.setattr(Queue, "apply", apply_after_a_failure)
    with caplog.at_level(logging.CRITICAL, "hubbot"):
        thread = threading.Thread(target=shop.worker.run_forever, args=(shop.stop,))
        thread.start()
        jobs = [shop.enqueue("a"), shop.enqueue("b")]
        until = time.monotonic() + 20
        while shop.queue.counts()[State.PUBLISHED] < 2 and time.monotonic() < until:
            time.sleep(0.05)
        shop.stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert [shop.queue.job(job.id).state for job in jobs] == [State.PUBLISHED] * 2
    assert "given_back" in shop.events


def test_a_database_that_becomes_read_only_stops_nothing_is_said_once_and_jobs_go_on_when_it_is_not(
    shop: Shop, engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    shut, failed = threading.Event(), threading.Event()
    words = "PRAGMA query_only=%d" if engine.dialect.name == "sqlite" else "SET TRANSACTION READ ONLY -- %d"

    def begin(connection: sa.Connection) -> None:
        if shut.is_set() or engine.dialect.name == "sqlite":
            connection.exec_driver_sql(words % shut.is_set())

    def note(record: logging.LogRecord) -> bool:
        if "cannot be written" in record.getMessage():
            failed.set()
        return True

    def shut_it(job: Job, cancelled: threading.Event) -> Outcome:
        shut.set()
        shop.at.clear()
        return StageDone()

    sa.event.listen(engine, "begin", begin)
    shop.at[Stage.CONVERT] = shut_it
    job = shop.enqueue()
    caplog.set_level(logging.WARNING, "hubbot")
    caplog.handler.addFilter(note)
    # The heartbeat says for itself that it failed.
    worker = replace(shop.worker, beat_seconds=60)
    thread = threading.Thread(target=worker.run_forever, args=(shop.stop,))
    thread.start()
    try:
        assert failed.wait(10)
        time.sleep(0.3)
        assert thread.is_alive()
        shut.clear()
        until = time.monotonic() + 10
        while shop.queue.job(job.id).state is not State.PUBLISHED and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        shop.stop.set()
        thread.join(10)
    assert shop.queue.job(job.id).state is State.PUBLISHED
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert "make its folder writable again" in said[0]
    assert "answers again" in said[1]


def start_process(url: str, runner: str, sleep_at: str, lease_seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.jobs.working", url, runner, sleep_at, str(lease_seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_in(process: subprocess.Popen[str], stage: Stage) -> list[str]:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line.strip())
        if seen[-1] == stage:
            break
    process.kill()
    process.wait()
    process.stdout.close()
    return seen


def test_a_second_worker_of_the_same_name_resumes_where_the_first_was_killed(
    shop: Shop, engine: sa.Engine
) -> None:
    job = shop.enqueue()
    seen = kill_in(start_process(str(engine.url), "mac", "convert", 600), Stage.CONVERT)
    assert seen == STAGES[: STAGES.index(Stage.CONVERT) + 1]
    assert shop.queue.job(job.id).state is State.RUNNING
    shop.work()
    assert shop.visited == STAGES[STAGES.index(Stage.CONVERT) :]
    assert shop.queue.job(job.id).state is State.PUBLISHED
    assert shop.words(job) == ["done"] * 4 + ["lost"] + ["done"] * 4 + ["published"]


def test_a_worker_on_another_machine_takes_over_when_the_lease_of_the_killed_one_expires(
    shop: Shop, engine: sa.Engine
) -> None:
    job = shop.enqueue()
    kill_in(start_process(str(engine.url), "elsewhere", "verify", 1), Stage.VERIFY)
    shop.work()
    assert shop.visited == []
    until = time.monotonic() + 10
    while not (rescued := shop.queue.rescue(three_attempts, "mac")):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert [(job.state, job.attempts, job.stage) for job in rescued] == [(State.WAITING, 1, Stage.VERIFY)]
    shop.queue.retry(job.id)
    shop.work()
    assert shop.visited == STAGES[STAGES.index(Stage.VERIFY) :]
    assert shop.queue.job(job.id).state is State.PUBLISHED


def test_one_lane_looks_at_an_empty_queue_for_all() -> None:
    seconds, looks, answers = [100.0], [0], [False]

    def look() -> bool:
        looks[0] += 1
        return answers[0]

    shared = SharedLook(monotonic=lambda: seconds[0])
    assert [shared.finds_some(look, 2.0) for _ in range(4)] == [False] * 4
    assert looks == [1]
    answers[0] = True
    seconds[0] += 1.9
    assert not shared.finds_some(look, 2.0)
    seconds[0] += 0.2
    assert [shared.finds_some(look, 2.0) for _ in range(3)] == [True] * 3
    answers[0] = False
    assert not shared.finds_some(look, 2.0)
    assert looks == [5]


def test_a_look_that_fails_counts_for_nobody() -> None:
    shared = SharedLook(monotonic=lambda: 100.0)

    def failing() -> bool:
        raise HubUnavailable("the database does not answer")

    for _ in range(2):
        with pytest.raises(HubUnavailable):
            shared.finds_some(failing, 2.0)
    assert shared.finds_some(lambda: True, 2.0)
