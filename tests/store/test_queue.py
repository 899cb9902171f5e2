"""Jobs are made once, taken once, and changed only by whoever holds them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import pytest
import sqlalchemy as sa

from hubbot.errors import (
    ConfigUnresolved,
    HubbotError,
    HubUnavailable,
    NoRuntime,
    TryLater,
    UnknownLayout,
    WrongUsage,
)
from hubbot.lifecycle import Job, Outcome, Published, Refused, Released, Stage, StageDone, State, advance
from hubbot.store import queue as module
from hubbot.store.queue import SECONDS_PER_PRIORITY, Ended, Queue, Selection
from hubbot.store.results import Results

SHA = "a" * 40


class Clock(Protocol):
    now: datetime

    def __call__(self) -> datetime: ...
    def forward(self, seconds: float) -> None: ...


def three_attempts(attempts: int, error: TryLater) -> timedelta | None:
    return timedelta(seconds=60) if attempts < 3 else None


def enqueue(queue: Queue, repo: str = "org/moe", priority: int = 0) -> Job:
    return queue.enqueue(repo, SHA, ("4bit",), "4bit", priority=priority, requested_by="test")[0]


def claim(queue: Queue, runner: str = "mac", max_ram_bytes: int | None = None) -> Job:
    job = queue.claim(runner, 60, max_ram_bytes)
    assert job is not None
    return job


def settle(queue: Queue, job: Job, outcome: Outcome, clock: Clock) -> Job:
    after = advance(job, outcome, clock(), three_attempts)
    assert queue.apply(job, after)
    return after


def test_enqueueing_twice_makes_one_job(queue: Queue, clock: Clock) -> None:
    first, created = queue.enqueue("org/moe", SHA, ("4bit", "8bit"), "k", requested_by="cli", priority=1)
    clock.forward(5)
    second, again = queue.enqueue("org/moe", SHA, ("4bit", "8bit"), "k", requested_by="watch", priority=0)
    assert (created, again) == (True, False)
    assert second == first
    assert (first.variants, first.stage, first.state) == (("4bit", "8bit"), Stage.INSPECT, State.WAITING)
    assert first.created_at == clock() - timedelta(seconds=5)
    other, new = queue.enqueue("org/moe", SHA, ("fp16",), "other", requested_by="cli")
    assert new
    assert other.id != first.id


def test_enqueueing_at_once_from_many_threads_makes_one_job(queue: Queue) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: queue.enqueue("o/m", SHA, (), "k", requested_by="t"), range(24)))
    assert len({job.id for job, _ in made}) == 1
    assert sum(created for _, created in made) == 1


def test_a_higher_priority_is_taken_over_and_a_lower_one_is_not(queue: Queue) -> None:
    enqueue(queue, priority=3)
    assert enqueue(queue, priority=7).priority == 7
    assert enqueue(queue, priority=1).priority == 7


def test_enqueueing_again_does_not_revive_a_cancelled_job(queue: Queue) -> None:
    queue.cancel(enqueue(queue).id)
    assert enqueue(queue, priority=9).state is State.CANCELLED


def test_the_highest_priority_is_claimed_first_and_then_the_oldest(queue: Queue, clock: Clock) -> None:
    for repo, priority in [("a", 0), ("b", 0), ("c", 5)]:
        enqueue(queue, repo, priority)
        clock.forward(1)
    assert [claim(queue).repo for _ in range(3)] == ["c", "a", "b"]
    assert queue.claim("mac", 60) is None


def test_a_claimed_job_carries_a_lease_of_its_own(queue: Queue, clock: Clock) -> None:
    enqueue(queue, "a")
    enqueue(queue, "b")
    one, two = claim(queue), claim(queue, "other")
    assert (one.state, one.runner, one.lease_until) == (State.RUNNING, "mac", clock() + timedelta(seconds=60))
    assert one.lease
    assert one.lease != two.lease
    assert queue.job(one.id) == one


def test_two_threads_claiming_never_get_the_same_job(queue: Queue) -> None:
    for number in range(40):
        enqueue(queue, f"org/{number}")
    gate = threading.Barrier(4)

    def drain(runner: str) -> list[int]:
        gate.wait()
        taken = []
        while (job := queue.claim(runner, 60)) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [job for jobs in pool.map(drain, "abcd") for job in jobs]
    assert len(taken) == len(set(taken)) == 40


def test_whether_any_job_waits_is_told_cheaply_due_or_not(queue: Queue, clock: Clock) -> None:
    assert not queue.has_waiting()
    enqueue(queue)
    assert queue.has_waiting()
    taken = claim(queue)
    assert not queue.has_waiting()
    settle(queue, taken, Refused(error=HubUnavailable("down")), clock)
    assert queue.claim("mac", 60) is None
    assert queue.has_waiting()


def test_a_pause_is_honoured_to_the_second(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    paused = settle(queue, claim(queue), Refused(error=HubUnavailable("down")), clock)
    assert queue.next_due() == paused.not_before == clock() + timedelta(seconds=60)
    clock.forward(59)
    assert queue.claim("mac", 60) is None
    clock.forward(1)
    again = claim(queue)
    assert (again.attempts, again.not_before, again.stage) == (1, None, Stage.INSPECT)


def test_a_job_too_large_for_this_machine_is_left_to_another(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    running = settle(queue, claim(queue), StageDone(predicted_ram_bytes=2**40), clock)
    settle(queue, running, Released(), clock)
    assert queue.claim("small", 60, max_ram_bytes=2**35) is None
    assert queue.next_due(max_ram_bytes=2**35) is None
    assert queue.next_due() is not None
    assert claim(queue, "large", max_ram_bytes=2**41).predicted_ram_bytes == 2**40


def test_a_heartbeat_extends_the_lease_and_brings_the_request_to_cancel(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    job = claim(queue)
    clock.forward(50)
    beaten = queue.heartbeat(job, 60)
    assert beaten is not None
    assert (beaten.lease_until, beaten.cancel_requested) == (clock() + timedelta(seconds=60), False)
    queue.cancel(job.id)
    asked = queue.heartbeat(job, 60)
    assert asked is not None
    assert asked.cancel_requested


def test_a_finished_stage_does_not_shorten_the_lease_that_was_extended(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    job = claim(queue)
    clock.forward(50)
    queue.heartbeat(job, 600)
    settle(queue, job, StageDone(), clock)
    assert queue.job(job.id).lease_until == clock() + timedelta(seconds=600)


def test_a_stale_lease_can_neither_finish_nor_beat(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    stale = claim(queue)
    clock.forward(61)
    assert [job.id for job in queue.rescue(three_attempts, "other")] == [stale.id]
    clock.forward(61)
    fresh = claim(queue, "other")
    for outcome in (Published(), StageDone(), Refused(error=UnknownLayout("odd")), Released()):
        assert not queue.apply(stale, advance(stale, outcome, clock(), three_attempts))
    assert queue.heartbeat(stale, 60) is None
    assert queue.job(stale.id) == fresh


def test_a_move_made_without_knowing_of_a_cancel_has_to_be_made_again(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    job = claim(queue)
    queue.cancel(job.id)
    assert not queue.apply(job, advance(job, StageDone(), clock(), three_attempts))
    assert settle(queue, queue.job(job.id), StageDone(), clock).state is State.CANCELLED


def test_a_job_that_kills_its_runner_again_and_again_parks_in_the_end(
    queue: Queue, results: Results, clock: Clock
) -> None:
    enqueue(queue)
    for _ in range(3):
        results.begin_attempt(claim(queue).id, Stage.INSPECT, "mac")
        clock.forward(61)
        (given_back,) = queue.rescue(three_attempts, "other")
        clock.forward(61)
    assert (given_back.state, given_back.attempts) == (State.PARKED, 3)
    assert given_back.error is not None
    assert given_back.error["kind"] == "ChildDied"
    assert "the runner mac ended in the middle of inspect" in given_back.error["message"]
    assert [attempt.outcome for attempt in results.attempts(given_back.id)] == ["lost"] * 3


def test_only_expired_leases_of_other_runners_are_rescued(queue: Queue, clock: Clock) -> None:
    enqueue(queue, "a")
    mine, _ = claim(queue, "mac"), enqueue(queue, "b")
    clock.forward(61)
    live = claim(queue, "other")
    assert queue.rescue(three_attempts, "mac") == []
    assert [job.id for job in queue.rescue(three_attempts, "other")] == [mine.id]
    assert queue.job(live.id).state is State.RUNNING


def test_a_runner_that_starts_gets_back_what_it_left_without_a_pause(queue: Queue, clock: Clock) -> None:
    enqueue(queue, "a")
    enqueue(queue, "b")
    job, foreign = claim(queue, "mac"), claim(queue, "other")
    settle(queue, job, StageDone(), clock)
    (given_back,) = queue.release_runner("mac", three_attempts)
    assert (given_back.id, given_back.state, given_back.stage) == (job.id, State.WAITING, Stage.CLASSIFY)
    assert (given_back.attempts, given_back.not_before) == (1, None)
    assert claim(queue, "mac").id == job.id
    assert queue.job(foreign.id).state is State.RUNNING


def test_a_dead_runners_job_that_was_to_be_cancelled_is_cancelled(queue: Queue) -> None:
    job = enqueue(queue)
    claim(queue)
    queue.cancel(job.id)
    assert [job.state for job in queue.release_runner("mac", three_attempts)] == [State.CANCELLED]


def test_cancel_and_retry_go_through_the_table(queue: Queue, clock: Clock) -> None:
    job = enqueue(queue)
    assert queue.cancel(job.id).state is State.CANCELLED
    assert queue.claim("mac", 60) is None
    assert queue.retry(job.id).state is State.WAITING
    settle(queue, claim(queue), Published(), clock)
    for command in (queue.cancel, queue.retry):
        with pytest.raises(WrongUsage, match="is published and cannot be"):
            command(job.id)


@pytest.mark.parametrize("name", ["job", "cancel", "retry"])
def test_an_unknown_number_is_the_callers_mistake(queue: Queue, name: str) -> None:
    command: Callable[[int], Job] = getattr(queue, name)
    with pytest.raises(WrongUsage, match="there is no job 404"):
        command(404)


def test_only_jobs_parked_without_a_runtime_are_revived_by_a_new_one(queue: Queue, clock: Clock) -> None:
    for repo, error in [("a", NoRuntime("no class")), ("b", UnknownLayout("odd")), ("c", NoRuntime("none"))]:
        enqueue(queue, repo)
        settle(queue, claim(queue), Refused(error=error, runtime="mlx-lm 0.32.2"), clock)
    assert queue.revive_no_runtime("mlx-lm 0.32.2") == []
    assert [job.repo for job in queue.revive_no_runtime("mlx-lm 0.33.0")] == ["a", "c"]
    assert queue.counts()[State.PARKED] == 1


def test_jobs_are_listed_newest_first_and_by_state(queue: Queue) -> None:
    for repo in "abc":
        enqueue(queue, repo)
    (second,) = [job for job in queue.jobs() if job.repo == "b"]
    queue.cancel(second.id)
    assert [job.repo for job in queue.jobs()] == ["c", "b", "a"]
    assert [job.repo for job in queue.jobs(State.WAITING, limit=1)] == ["c"]
    assert queue.counts() == dict.fromkeys(State, 0) | {State.WAITING: 2, State.CANCELLED: 1}


def test_a_jobs_error_survives_the_database_with_its_times_in_utc(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    parked = settle(queue, claim(queue), Refused(error=UnknownLayout("odd", where="t", hint="h")), clock)
    assert queue.job(parked.id) == replace(parked)
    assert queue.job(parked.id).created_at.tzinfo is not None


def test_the_claim_is_one_statement_that_skips_locked_rows_on_postgres(
    queue: Queue, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        queue,
        "_first",
        lambda statement: seen.append(
            str(statement.compile(dialect=sa.make_url("postgresql://").get_dialect()()))
        ),
    )
    queue.claim("mac", 60)
    (statement,) = seen
    assert statement.startswith("UPDATE jobs")
    assert "FOR UPDATE SKIP LOCKED" in statement
    assert "RETURNING" in statement


def enqueue_at(queue: Queue, revision: str, **how: bool) -> Job:
    return queue.enqueue("org/moe", revision * 40, ("4bit",), "4bit", requested_by="test", **how)[0]


def test_the_newest_revision_takes_the_place_of_those_that_wait(queue: Queue) -> None:
    running = queue.job(enqueue_at(queue, "0").id)
    assert queue.claim("mac", 60) is not None
    waiting, allowed = enqueue_at(queue, "a"), enqueue_at(queue, "b", allow_older=True)
    other, _ = queue.enqueue("org/moe", "a" * 40, ("8bit",), "8bit", requested_by="test")
    newest = enqueue_at(queue, "c", newest=True)
    assert (queue.job(waiting.id).error or {})["kind"] == "Superseded"
    states = {one.id: queue.job(one.id).state for one in (running, waiting, allowed, other, newest)}
    assert states == {
        running.id: State.RUNNING,
        waiting.id: State.SKIPPED,
        allowed.id: State.WAITING,
        other.id: State.WAITING,
        newest.id: State.WAITING,
    }


def test_an_older_revision_does_not_take_the_place_of_a_newer_one(queue: Queue) -> None:
    newest = enqueue_at(queue, "c", newest=True)
    older = enqueue_at(queue, "a")
    assert {queue.job(one.id).state for one in (newest, older)} == {State.WAITING}
    assert enqueue_at(queue, "a", allow_older=True).allow_older


@pytest.mark.parametrize("days", [-2, 2, -400, 400])
def test_a_clock_that_jumps_holds_up_no_job_and_no_lease(queue: Queue, clock: Clock, days: int) -> None:
    enqueue_at(queue, "a")
    held = queue.claim("mac", 60)
    assert held is not None
    error = Refused(error=TryLater("later", after_seconds=3600))
    assert queue.apply(held, advance(held, error, clock(), lambda attempts, error: timedelta(hours=1)))
    enqueue_at(queue, "b")
    clock.forward(days * 86400)
    first, second = queue.claim("mac", 60), queue.claim("mac", 60)
    assert {first and first.revision[0], second and second.revision[0]} == {"a", "b"}
    clock.forward(-days * 86400)
    clock.forward(3600)
    assert len(queue.rescue(lambda attempts, error: timedelta(0), by="other")) == 2


def test_what_has_waited_long_goes_before_what_is_new_and_a_little_more_urgent(queue: Queue, clock: Clock) -> None:
    enqueue(queue, "old")
    clock.forward(3 * SECONDS_PER_PRIORITY)
    for repo, priority in (("two", 2), ("four", 4), ("minus", -1)):
        enqueue(queue, repo, priority=priority)
    assert [claim(queue).repo for _ in range(4)] == ["four", "old", "two", "minus"]


def test_a_priority_raised_later_counts_as_if_it_had_been_given_at_once(queue: Queue, clock: Clock) -> None:
    enqueue(queue, "a")
    enqueue(queue, "b")
    clock.forward(60)
    enqueue(queue, "c", priority=1)
    enqueue(queue, "b", priority=1)
    enqueue(queue, "b", priority=0)
    assert [claim(queue).repo for _ in range(3)] == ["b", "c", "a"]


def park(queue: Queue, clock: Clock, error: HubbotError) -> Job:
    return settle(queue, claim(queue), Refused(error=error), clock)


def test_jobs_are_retried_and_cancelled_by_state_pattern_and_error(queue: Queue, clock: Clock) -> None:
    for repo in ("Qwen/a", "Qwen/b", "other/c", "other/d"):
        enqueue(queue, repo)
    park(queue, clock, UnknownLayout("odd"))
    park(queue, clock, NoRuntime("none"))
    park(queue, clock, NoRuntime("none"))
    parked = Selection(states=(State.PARKED,), pattern="Qwen/*", kind="NoRuntime")
    assert [job.repo for job in queue.retry_all(parked)] == ["Qwen/b"]
    assert [job.repo for job in queue.cancel_all(Selection(pattern="Qwen/*"))] == ["Qwen/a", "Qwen/b"]
    assert queue.counts()[State.CANCELLED] == 2
    # Those that have ended stay as they are.
    assert queue.cancel_all(Selection(pattern="Qwen/*")) == []
    assert [job.repo for job in queue.cancel_all(Selection(ids=(3, 4)))] == ["other/c", "other/d"]


def test_many_jobs_are_changed_in_slices_that_let_others_write(
    queue: Queue, clock: Clock, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 3)
    for number in range(7):
        enqueue(queue, f"org/{number}")
    commits = []
    sa.event.listen(engine, "commit", lambda _: commits.append(1))
    assert len(queue.cancel_all(Selection(states=(State.WAITING,)))) == 7
    assert len(commits) == 3


def test_the_next_job_can_be_looked_at_without_taking_it(queue: Queue) -> None:
    assert queue.first_due("mac", (Stage.INSPECT,)) is None
    enqueue(queue, "a")
    enqueue(queue, "b", priority=1)
    first = queue.first_due("mac", (Stage.INSPECT, Stage.FETCH))
    assert first is not None
    assert (first.repo, first.state) == ("b", State.WAITING)
    assert queue.first_due("mac", (Stage.FETCH,)) is None


def test_a_runner_that_starts_leaves_what_its_own_process_holds(queue: Queue) -> None:
    enqueue(queue, "a")
    enqueue(queue, "b")
    held, left = claim(queue), claim(queue)
    assert [job.id for job in queue.release_runner("mac", three_attempts, held={held.id})] == [left.id]
    assert queue.job(held.id).state is State.RUNNING


def test_how_an_attempt_ended_is_stored_with_the_job_or_not_at_all(
    queue: Queue, results: Results, clock: Clock
) -> None:
    enqueue(queue)
    job = claim(queue)
    attempt = results.begin_attempt(job.id, job.stage, "mac")
    after = advance(job, StageDone(), clock(), three_attempts)
    ended = Ended(attempt=attempt, outcome="done", error=None)
    assert not queue.apply(replace(job, lease="another"), after, ended)
    assert results.attempts(job.id)[0].ended_at is None
    assert queue.apply(job, after, ended)
    (closed,) = results.attempts(job.id)
    assert (closed.outcome, closed.ended_at, closed.error) == ("done", clock(), None)


def test_a_config_that_no_version_read_is_tried_again_by_another_one(queue: Queue, clock: Clock) -> None:
    enqueue(queue)
    job = claim(queue)
    refused = Refused(error=ConfigUnresolved("an unknown field"), runtime="mlx-lm 1")
    assert queue.apply(job, advance(job, refused, clock(), three_attempts))
    assert queue.revive_no_runtime("mlx-lm 1") == []
    assert [one.id for one in queue.revive_no_runtime("mlx-lm 2")] == [job.id]
