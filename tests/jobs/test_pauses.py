"""Outages burn no attempts: the bot waits for the world, says so once, and goes on by itself."""

import errno
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from hubbot.errors import (
    CorruptHeader,
    HubbotError,
    HubUnavailable,
    OutOfMemory,
    OutOfRoom,
    RateLimited,
    TokenRejected,
)
from hubbot.files.atomic_folders import check_writable
from hubbot.jobs import worker as module
from hubbot.jobs.clock_jumps import ClockJumps
from hubbot.jobs.pauses import Pauses, pause, resume
from hubbot.jobs.retry import Backoff
from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Job, Outcome, Published, Refused, Stage, StageDone, State
from hubbot.quiet_hours import QuietHours
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HUB_STAGES = {Stage.INSPECT, Stage.PLAN, Stage.FETCH, Stage.CARD, Stage.PUBLISH}


class World:
    """A bot with two attempts a stage, a clock of its own, and a Hub and a disk that can fail."""

    def __init__(self, engine: sa.Engine) -> None:
        self.now = START
        self.elapsed = 1000.0
        self.probes = 0
        self.of_one_job: dict[str, HubbotError] = {}
        self.order: list[str] = []
        self.at_stage: dict[Stage, Callable[[], object]] = {}
        self.queue, self.outages = Queue(engine, self.clock), Outages(engine)
        self.hub: HubbotError | None = None
        self.restored_before_the_probe = False
        self.disk: HubbotError | None = None
        self.back_to: Stage | None = None
        self.worker = Worker(
            queue=self.queue,
            results=Results(engine, self.clock),
            run_stage=self.run_stage,
            emit=lambda event, **fields: None,
            retry=Backoff(first_seconds=30, longest_seconds=3600, max_attempts=2, random=Random(1)),
            pauses=Pauses(outages=self.outages, probe=self.probe, clock=self.clock, runner="mac"),
            clock=self.clock,
            runner="mac",
            lease_seconds=30,
            beat_seconds=10,
            max_ram_bytes=None,
            jumps=ClockJumps(monotonic=lambda: self.elapsed),
        )

    def clock(self) -> datetime:
        return self.now

    def probe(self) -> None:
        self.probes += 1
        if self.restored_before_the_probe:
            self.of_one_job.clear()
        if self.hub is not None:
            raise self.hub

    def run_stage(self, job: Job, cancelled: object) -> Outcome:
        error = self.of_one_job.get(job.repo)
        if job.stage in HUB_STAGES:
            error = error or self.hub
        if job.stage is Stage.CONVERT:
            error = error or self.disk
        if error is not None:
            return Refused(error=error)
        if job.stage in self.at_stage:
            self.at_stage.pop(job.stage)()
        if self.back_to is not None:
            back, self.back_to = self.back_to, None
            return StageDone(next=back)
        if job.stage is Stage.PUBLISH:
            self.order.append(job.repo)
            return Published()
        return StageDone()

    def enqueue(self, *repos: str) -> list[Job]:
        return [self.queue.enqueue(r, "a" * 40, ("4bit",), "4bit", requested_by="test")[0] for r in repos]

    def work(self) -> None:
        self.worker.run_until_idle(threading.Event(), 0)

    def live(self, hours: float, step_minutes: float = 10) -> None:
        until = self.now + timedelta(hours=hours)
        while self.now < until:
            self.now += timedelta(minutes=step_minutes)
            self.elapsed += step_minutes * 60
            self.work()

    def states(self) -> dict[str, tuple[State, int]]:
        return {job.repo: (job.state, job.attempts) for job in self.queue.jobs()}


@pytest.fixture
def world(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.005)
    return World(engine)


@pytest.mark.parametrize("hub", [HubUnavailable("down"), TokenRejected("refused"), RateLimited("slow down")])
def test_the_hub_down_for_a_day_costs_no_attempt_and_is_said_once(
    world: World, hub: HubbotError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.enqueue("a", "b", "c")
    world.hub = hub
    world.work()
    world.live(24)
    assert world.states() == dict.fromkeys("abc", (State.WAITING, 0))
    (outage,) = world.outages.all()
    assert (outage.since, set(outage.stages)) == (START, HUB_STAGES)
    assert 24 <= world.probes < 200
    world.hub = None
    world.live(1)
    assert world.order == ["a", "b", "c"]
    assert world.outages.all() == []
    said = [record.message for record in caplog.records if "outage" in record.message]
    assert len(said) == 2
    assert "is over" in said[1]


def test_a_full_disk_costs_no_attempt_and_the_jobs_go_on_in_their_order(world: World) -> None:
    world.enqueue("a", "b", "c")
    world.disk = OutOfRoom("the disk is full")
    world.work()
    world.live(24)
    assert world.states() == dict.fromkeys("abc", (State.WAITING, 0))
    assert [outage.door for outage in world.outages.all()] == ["disk"]
    world.disk = None
    world.live(1)
    assert world.order == ["a", "b", "c"]
    assert world.outages.all() == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("stage", [Stage.INSPECT, Stage.PLAN, Stage.CARD, Stage.PUBLISH])
def test_a_full_disk_is_one_wherever_a_stage_meets_it(world: World, stage: Stage, number: int) -> None:
    def fail() -> None:
        raise OSError(number, "no room", "layers.png")

    world.enqueue("a")
    world.at_stage[stage] = fail
    world.work()
    assert world.states() == {"a": (State.WAITING, 0)}
    world.live(1)
    assert world.states() == {"a": (State.PUBLISHED, 0)}


PLACES: dict[str, Callable[[Path], object]] = {
    "a file in its place": lambda work: work.write_text("", encoding="utf-8"),
    "a link to a disk that is gone": lambda work: work.symlink_to("/gone/disk"),
    "the whole data folder gone": lambda work: work.parent.rename(work.parent.with_name("away")),
}


@pytest.mark.parametrize(
    ("told", "place"),
    list(
        zip(
            [
                OSError(errno.EROFS, "Read-only file system", "plan.json"),
                PermissionError(errno.EACCES, "Permission denied", "plan.json"),
                FileNotFoundError(errno.ENOENT, "No such file or directory", "plan.json"),
                HubbotError("PermissionError: as a child tells it"),
                CorruptHeader("a file of the source is gone"),
                None,
            ],
            [*PLACES, *PLACES],
            strict=True,
        )
    ),
    ids=repr,
)
def test_a_work_folder_that_vanishes_holds_every_job_and_fails_none(
    world: World, place: str, told: Exception | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    work = tmp_path / "data" / "work"
    work.parent.mkdir()
    world.worker = replace(
        world.worker, pauses=replace(world.worker.pauses, check_folder=partial(check_writable, work))
    )

    def vanish() -> None:
        shutil.rmtree(work, ignore_errors=True)
        PLACES[place](work)
        if told is None:
            world.back_to = Stage.INSPECT
        else:
            raise told

    world.at_stage[Stage.CONVERT] = vanish
    world.enqueue("a", "b")
    world.work()
    world.live(3, step_minutes=30)
    assert world.states() == {"a": (State.WAITING, 0), "b": (State.WAITING, 0)}
    first = world.queue.jobs()[-1]
    assert first.stage is Stage.CONVERT
    assert first.error is not None
    assert first.error["kind"] == "FolderUnusable"
    (outage,) = world.outages.all()
    assert (outage.door, set(outage.stages)) == ("folder", set(Stage))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "cannot be written" in said[0]
    assert "mount it again" in said[0]
    assert "\n" not in said[0]
    if work.parent.exists():
        work.unlink()
    else:
        work.parent.with_name("away").rename(work.parent)
    world.live(0.5)
    assert world.order == ["a", "b"]
    assert world.outages.all() == []
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("error", [HubUnavailable("wrong sha256"), OutOfMemory("3 GB")])
def test_what_fails_while_the_world_is_well_is_the_jobs_own_fault_and_spends_its_attempts(
    world: World, error: HubbotError
) -> None:
    world.enqueue("bad", "good")
    world.of_one_job["bad"] = error
    world.work()
    world.live(24)
    assert world.states() == {"bad": (State.PARKED, 2), "good": (State.PUBLISHED, 0)}


def test_a_token_that_may_not_write_one_place_parks_that_job_alone(world: World) -> None:
    world.enqueue("bad", "good")
    world.of_one_job["bad"] = TokenRejected("no write access")
    world.work()
    assert {repo: state for repo, (state, _) in world.states().items()} == {
        "bad": State.PARKED,
        "good": State.PUBLISHED,
    }


def test_a_token_that_is_restored_before_anybody_asks_costs_no_job(world: World) -> None:
    world.enqueue("a")
    world.of_one_job["a"] = TokenRejected("invalid token")
    world.restored_before_the_probe = True
    world.work()
    assert world.states() == {"a": (State.PUBLISHED, 0)}


def test_a_refusal_that_passed_does_not_count_when_the_token_is_refused_again_later(world: World) -> None:
    (job,) = world.enqueue("a")
    world.restored_before_the_probe = True
    world.of_one_job["a"] = TokenRejected("invalid token")
    world.work()
    assert world.worker.token_refused == set()
    again = world.queue.enqueue("a", "b" * 40, ("4bit",), "4bit", requested_by="test")[0]
    assert again.id != job.id
    world.of_one_job["a"] = TokenRejected("invalid token")
    world.work()
    assert world.queue.job(again.id).state is State.PUBLISHED


def test_stages_that_need_no_hub_go_on_in_an_outage(world: World) -> None:
    (job,) = world.enqueue("a")
    claimed = world.queue.claim("mac", 60)
    assert claimed is not None
    assert world.queue.apply(claimed, replace(claimed, stage=Stage.CONVERT))
    world.enqueue("b")
    world.hub = HubUnavailable("down")
    world.work()
    assert world.queue.job(job.id).stage is Stage.CARD
    assert {attempts for _, attempts in world.states().values()} == {0}


@pytest.mark.parametrize("days", [-2, 2])
def test_a_clock_that_jumps_in_an_outage_does_not_make_it_last(world: World, days: int) -> None:
    world.enqueue("a")
    world.hub = HubUnavailable("down")
    world.work()
    world.hub = None
    world.now += timedelta(days=days)
    world.live(1)
    assert world.order == ["a"]


@pytest.mark.parametrize("hours", [-1, -5, 1, -48, 48])
def test_a_clock_that_is_set_lengthens_no_pause_of_a_job(world: World, hours: int) -> None:
    world.enqueue("a")
    world.of_one_job["a"] = HubUnavailable("for half an hour", after_seconds=1800)
    world.work()
    assert world.states() == {"a": (State.WAITING, 1)}
    world.of_one_job.clear()
    world.now += timedelta(hours=hours)
    world.live(0.25)
    if hours < 0:
        assert world.order == [], "nor is it shorter than was asked for"
    world.live(0.3)
    assert world.order == ["a"]


@pytest.mark.parametrize("error", [HubUnavailable("down"), TokenRejected("no"), OutOfRoom("the disk is full")])
@pytest.mark.parametrize("hours", [-1, -5])
def test_a_clock_that_is_set_back_makes_no_outage_last(world: World, hours: int, error: HubbotError) -> None:
    world.enqueue("a")
    world.hub, world.disk = (None, error) if isinstance(error, OutOfRoom) else (error, None)
    world.work()
    world.live(0.5)
    world.hub = world.disk = None
    world.now += timedelta(hours=hours)
    world.live(0.2)
    assert world.order == ["a"]


def test_a_clock_that_is_set_back_does_not_change_until_when_a_person_asked_for_a_pause(world: World) -> None:
    world.enqueue("a")
    pause(world.outages, world.now, until=world.now + timedelta(hours=2), runner="mac")
    world.work()
    world.now -= timedelta(hours=1)
    world.live(2.5)
    assert world.order == []
    world.live(1)
    assert world.order == ["a"]


@pytest.mark.parametrize("runner", [None, "mac"])
def test_a_pause_begins_no_stage_until_its_end_or_until_it_is_resumed(world: World, runner: str | None) -> None:
    world.enqueue("a")
    pause(world.outages, world.now, until=world.now + timedelta(hours=2), runner=runner)
    world.work()
    world.live(1.5)
    assert world.states() == {"a": (State.WAITING, 0)}
    world.live(1)
    assert world.order == ["a"]
    assert world.outages.all() == []
    world.enqueue("b")
    pause(world.outages, world.now, runner=runner)
    world.live(240, step_minutes=600)
    assert world.order == ["a"]
    assert [one.door for one in resume(world.outages, runner)] == ["pause"]
    world.work()
    assert world.order == ["a", "b"]
    assert world.probes == 0


def test_a_pause_of_another_runner_is_none_of_ours_and_the_last_words_count(world: World) -> None:
    pause(world.outages, world.now, runner="other")
    assert world.worker.pauses.stages() == frozenset()
    pause(world.outages, world.now, until=world.now + timedelta(hours=2))
    pause(world.outages, world.now, drain=True)
    assert world.worker.pauses.stages() == {Stage.INSPECT}
    resume(world.outages)
    assert world.outages.all() == []


def test_a_pause_that_comes_in_the_middle_of_a_job_stops_it_between_two_stages(world: World) -> None:
    (job,) = world.enqueue("a")
    world.at_stage[Stage.CONVERT] = lambda: pause(world.outages, world.now)
    world.work()
    after = world.queue.job(job.id)
    assert (after.state, after.stage, after.attempts, after.error) == (State.WAITING, Stage.VERIFY, 0, None)
    resume(world.outages)
    world.work()
    assert world.queue.job(job.id).state is State.PUBLISHED


def test_a_drain_finishes_what_is_under_way_and_begins_nothing(world: World) -> None:
    world.enqueue("a", "b")
    world.at_stage[Stage.CONVERT] = lambda: pause(world.outages, world.now, drain=True)
    world.work()
    assert world.states() == {"a": (State.PUBLISHED, 0), "b": (State.WAITING, 0)}


def test_no_stage_is_begun_in_quiet_hours(world: World) -> None:
    world.enqueue("a")
    quiet = QuietHours(((time(11), time(14)),), zone=UTC)
    world.worker = replace(world.worker, pauses=replace(world.worker.pauses, quiet=quiet))
    world.work()
    world.live(1.5)
    assert world.order == []
    world.live(1)
    assert world.order == ["a"]
