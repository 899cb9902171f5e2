"""A job is taken over from a runner that is silent, not from one whose clock, or ours, has jumped."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from hubbot.jobs.takeovers import Takeovers
from hubbot.lifecycle import Job, State
from hubbot.store.queue import Queue
from tests.store.conftest import Clock

DAYS = 86400.0


class Pair:
    """Two runners of one database: `mac` works, `studio` looks at its leases."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self.clock, self.elapsed = clock, 0.0
        self.queue = Queue(engine, clock)
        self.queue.enqueue("org/moe", "a" * 40, ("4bit",), "4bit", requested_by="test")
        job = self.queue.claim("mac", 60)
        assert job is not None
        self.job = job
        self.takeovers = Takeovers(
            queue=self.queue,
            retry=lambda attempts, error: timedelta(0),
            runner="studio",
            silent_seconds=20,
            monotonic=lambda: self.elapsed,
        )

    def look(self) -> list[Job]:
        return self.takeovers.look()

    def forward(self, seconds: float) -> None:
        self.elapsed += seconds
        self.clock.forward(seconds)


@pytest.fixture
def pair(engine: sa.Engine, clock: Clock) -> Pair:
    return Pair(engine, clock)


def test_a_silent_runners_job_is_taken_over_at_the_second_look(pair: Pair) -> None:
    pair.forward(61)
    assert pair.look() == []
    pair.forward(19)
    assert pair.look() == []
    pair.forward(2)
    (given_back,) = pair.look()
    assert (given_back.id, given_back.state, given_back.attempts) == (pair.job.id, State.WAITING, 1)
    assert pair.look() == []


@pytest.mark.parametrize("back", [3600, 5 * 3600])
def test_a_clock_that_is_set_back_by_hours_does_not_put_off_a_takeover_by_them(pair: Pair, back: float) -> None:
    pair.forward(15)
    assert pair.look() == []
    pair.clock.forward(-back)
    pair.forward(45)
    assert pair.look() == []
    pair.forward(19)
    assert pair.look() == []
    pair.forward(2)
    (given_back,) = pair.look()
    assert (given_back.id, given_back.state, given_back.attempts) == (pair.job.id, State.WAITING, 1)


@pytest.mark.parametrize("back", [3600, 5 * 3600])
def test_a_clock_that_is_set_back_by_hours_takes_no_job_from_a_runner_that_beats(pair: Pair, back: float) -> None:
    assert pair.look() == []
    pair.clock.forward(-back)
    for _ in range(10):
        pair.forward(15)
        assert pair.queue.heartbeat(pair.job, 60) is not None
        assert pair.look() == []


@pytest.mark.parametrize("jump", [2 * DAYS, -2 * DAYS])
def test_a_jump_of_the_clock_takes_no_job_from_a_runner_that_beats(pair: Pair, jump: float) -> None:
    pair.clock.forward(jump)
    assert pair.look() == []
    for _ in range(4):
        pair.forward(15)
        assert pair.queue.heartbeat(pair.job, 60) is not None
        assert pair.look() == []
    assert pair.queue.job(pair.job.id).state is State.RUNNING


@pytest.mark.parametrize("ahead", [2 * DAYS, -2 * DAYS])
def test_a_runner_whose_own_clock_is_wrong_keeps_the_job_while_it_beats(pair: Pair, ahead: float) -> None:
    for _ in range(4):
        pair.forward(15)
        pair.clock.forward(ahead)
        assert pair.queue.heartbeat(pair.job, 60) is not None
        pair.clock.forward(-ahead)
        assert pair.look() == []
    # Then it dies, and its last lease, two days off, is no protection.
    pair.forward(20)
    (given_back,) = pair.look()
    assert given_back.id == pair.job.id


def test_a_lease_renewed_between_the_look_and_the_takeover_is_left_alone(pair: Pair) -> None:
    pair.forward(61)
    expired = pair.queue.leases("studio")
    assert [number for number, _ in expired] == [pair.job.id]
    assert pair.queue.heartbeat(pair.job, -0.5) is not None
    assert pair.queue.rescue(lambda attempts, error: timedelta(0), "studio", expired) == []
