"""Machines: what each has, whose jobs are whose, and what becomes of a machine that is gone."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from hubbot.errors import ChildDied
from hubbot.lifecycle import Refused, Released, Stage, StageDone, State, advance
from hubbot.store.queue import Queue
from hubbot.store.records import Machine
from hubbot.store.workers import ALIVE, Workers
from tests.store.conftest import Clock


@pytest.fixture
def workers(engine: sa.Engine) -> Workers:
    return Workers(engine)


def machine(clock: Clock, runner: str, memory: float = 64, disk: float = 1000) -> Machine:
    return Machine(
        runner=runner, memory_bytes=int(memory * 1e9), disk_bytes=int(disk * 1e9), device="Darwin arm64",
        started_at=clock(), seen_at=clock(),
    )  # fmt: skip


def fetched(queue: Queue, clock: Clock, runner: str, repo: str, *, ram: float = 10, disk: float = 10) -> int:
    """Make a job that a runner has fetched, planned to need so many gigabytes, and that waits at convert."""
    # Each goes before those that are there.
    priority = len(queue.jobs())
    queue.enqueue(repo, "a" * 40, ("4bit",), "4bit", requested_by="test", priority=priority)
    job = queue.claim(runner, 60)
    assert job is not None
    done = StageDone(next=Stage.CONVERT, predicted_ram_bytes=int(ram * 1e9), predicted_disk_bytes=int(disk * 1e9))
    for outcome in (done, Released()):
        after = advance(job, outcome, clock(), lambda *_: None)
        assert queue.apply(job, after)
        job = after
    return job.id


def test_a_machine_is_stored_once_and_its_last_sign_of_life_counts(workers: Workers, clock: Clock) -> None:
    first = machine(clock, "mini")
    workers.put(first)
    clock.forward(60)
    later = replace(first, disk_bytes=7, seen_at=clock())
    workers.put(later)
    workers.put(machine(clock, "studio"))
    assert workers.all() == [later, machine(clock, "studio")]


def test_work_on_a_disk_is_left_to_its_machine_as_long_as_that_lives(
    workers: Workers, queue: Queue, clock: Clock
) -> None:
    workers.put(machine(clock, "mini"))
    workers.put(machine(clock, "studio"))
    job = fetched(queue, clock, "mini", "org/a")
    assert queue.claim("studio", 60) is None
    assert queue.next_due(runner="studio") is None
    assert queue.first_due("studio", tuple(Stage)) is None
    assert queue.next_due(runner="mini") is not None
    clock.forward(ALIVE.total_seconds() + 1)
    workers.put(machine(clock, "studio"))
    taken = queue.claim("studio", 60)
    assert taken is not None
    assert (taken.id, taken.runner) == (job, "studio")


def test_what_only_another_machine_has_room_for_is_left_to_it(
    workers: Workers, queue: Queue, clock: Clock
) -> None:
    workers.put(machine(clock, "mini", memory=16, disk=100))
    workers.put(machine(clock, "studio", memory=512, disk=8000))
    large = fetched(queue, clock, "gone", "org/large", ram=400)
    wide = fetched(queue, clock, "gone", "org/wide", disk=4000)
    small = fetched(queue, clock, "gone", "org/small")
    huge = fetched(queue, clock, "gone", "org/huge", ram=4000)
    # What nobody has room for is anybody's, and says so when it runs.
    assert [job and job.id for job in (queue.claim("mini", 60) for _ in range(3))] == [huge, small, None]
    assert [job and job.id for job in (queue.claim("studio", 60) for _ in range(3))] == [wide, large, None]


def test_a_runner_that_is_not_registered_takes_what_has_no_home(
    workers: Workers, queue: Queue, clock: Clock
) -> None:
    workers.put(machine(clock, "mini"))
    fetched(queue, clock, "mini", "org/a")
    queue.enqueue("org/b", "a" * 40, ("4bit",), "4bit", requested_by="test")
    taken = queue.claim("nameless", 60)
    assert taken is not None
    assert taken.repo == "org/b"
    assert queue.claim("nameless", 60) is None


def test_a_dead_machines_job_is_taken_over_and_its_late_answer_is_dropped(
    workers: Workers, queue: Queue, clock: Clock
) -> None:
    workers.put(machine(clock, "mini"))
    queue.enqueue("org/a", "a" * 40, ("4bit",), "4bit", requested_by="test")
    held = queue.claim("mini", 60)
    assert held is not None
    clock.forward(ALIVE.total_seconds() + 1)
    workers.put(machine(clock, "studio"))
    (given_back,) = queue.rescue(lambda attempts, error: timedelta(0), by="studio")
    assert (given_back.state, given_back.attempts) == (State.WAITING, 1)
    taken = queue.claim("studio", 60)
    assert taken is not None
    assert queue.heartbeat(held, 60) is None
    late = advance(held, Refused(error=ChildDied("late")), clock(), lambda *_: None)
    assert not queue.apply(held, late)
    assert queue.job(held.id) == taken
