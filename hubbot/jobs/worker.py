"""The worker: claims a job, runs its stages one by one, and stores each outcome.

It knows neither what a stage does (`run_stage` is given) nor what an outcome means (lifecycle.py). It emits
given_back, claimed, stage_started, stage_finished, stopping and lost, with `job` and more, for a display.
"""

import itertools
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from hubbot.errors import HubbotError, OutOfRoom, TokenRejected, TryLater, WrongUsage
from hubbot.files.atomic_folders import is_disk_full
from hubbot.jobs.clock_jumps import ClockJumps
from hubbot.jobs.pauses import Pauses
from hubbot.lifecycle import (
    Cancelled,
    Held,
    Job,
    Outcome,
    Published,
    Refused,
    Released,
    RetryRule,
    Stage,
    StageDone,
    State,
    advance,
)
from hubbot.redaction import redacted
from hubbot.store.queue import Clock, Ended, Queue
from hubbot.store.results import Results

logger = logging.getLogger(__name__)

RunStage = Callable[[Job, threading.Event], Outcome]
# How soon a stage hears of a shutdown, and a free worker of a new job.
TICK_SECONDS = 0.2
IDLE_SECONDS = 2.0
# So many times longer waits one that has had nothing to do for a while.
LONGEST_IDLE = 2.5
# For this part of a lane's own wait another lane's look at an empty queue counts for it.
FRESH = 0.9
# When a job that found no room on the disk looks again.
FULL_DISK_SECONDS = 120.0


class Emit(Protocol):
    """Send an event to a display."""

    def __call__(self, event: str, **fields: object) -> None:
        """Take an event's name and its fields."""


@dataclass(slots=True, kw_only=True)
class HeartbeatState:
    """What the heartbeat has seen; `cancelled` is set as soon as the stage should stop, for any reason."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    lost: bool = False
    cancel_requested: bool = False


@dataclass(slots=True, kw_only=True)
class SharedLook:
    """Whether any job waits, asked by one lane for all: a runner with nothing to do costs next to nothing."""

    monotonic: Callable[[], float] = time.monotonic
    _nothing_at: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def finds_some(self, look: Callable[[], bool], seconds: float) -> bool:
        """Return what `look` says, or False where a lane saw in the last `seconds` that there is nothing."""
        with self._lock:
            if self.monotonic() - self._nothing_at < seconds:
                return False
            found = look()
            self._nothing_at = -math.inf if found else self.monotonic()
            return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One runner, under its runner_lock, or one of its lanes; a second thread renews the lease.

    It runs `stages`; a job that comes to another, or to one that is paused, goes back to the queue.
    A lease lasts `lease_seconds` and is renewed every `beat_seconds`, which is also how soon a person's
    cancel is noticed. Jobs predicted to need more than `max_ram_bytes` are left to others.
    """

    queue: Queue
    results: Results
    run_stage: RunStage
    emit: Emit
    retry: RetryRule
    pauses: Pauses
    clock: Clock
    runner: str
    lease_seconds: float
    beat_seconds: float
    max_ram_bytes: int | None
    stages: frozenset[Stage] = frozenset(Stage)
    # What is done while there is no job; it must return soon after `stop` is set, or after a job comes in.
    when_idle: Callable[[threading.Event], None] | None = None
    # The jobs under way in this process, by lease; lanes of one runner share these.
    held: dict[int, str | None] = field(default_factory=dict)
    token_refused: set[tuple[int, Stage]] = field(default_factory=set)
    gate: threading.Lock = field(default_factory=threading.Lock)
    jumps: ClockJumps = field(default_factory=ClockJumps)
    look: SharedLook = field(default_factory=SharedLook)

    def run_until_idle(self, stop: threading.Event, patience_seconds: float) -> None:
        """Work until no job is due within `patience_seconds`, or `stop` is set."""
        self._start_over()
        while not stop.is_set():
            if self._work_once(stop):
                continue
            due = self.queue.next_due(self.max_ram_bytes, paused=self._closed(), runner=self.runner)
            pause = None if due is None else (due - self.clock()).total_seconds()
            if pause is None or pause > patience_seconds:
                return
            # Jobs may also come in earlier than the next one known now.
            stop.wait(min(max(pause, TICK_SECONDS), IDLE_SECONDS))

    def run_forever(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a database that does not answer is asked again, and that is said once."""
        begun = worked = told = False
        wait = IDLE_SECONDS
        while not stop.is_set():
            try:
                if not begun:
                    self._start_over()
                    begun = True
                worked = self.look.finds_some(self._look, FRESH * wait) and self._work_once(stop)
                if told:
                    logger.warning("the database answers again; jobs go on")
                    told = False
                if not worked and self.when_idle is not None:
                    self.when_idle(stop)
            except TryLater as error:
                if not told:
                    logger.warning("%s", error.with_hint)
                    told = True
                # The job at hand may still be leased to this runner, and nobody beats for it.
                begun = worked = False
            if not worked:
                stop.wait(wait)
            wait = IDLE_SECONDS if worked else min(1.5 * wait, LONGEST_IDLE * IDLE_SECONDS)

    def _start_over(self) -> None:
        """Give back what this runner left behind: an earlier process, or a lane whose database did not answer."""
        with self.gate:
            left = self.queue.release_runner(self.runner, self.retry, held=self.held)
        for job in left:
            self.emit("given_back", job=job)

    def _look(self) -> bool:
        """Say whether any job waits; where none does, what a claim would have noticed is noticed here."""
        if self.queue.has_waiting():
            return True
        self.jumps.follow(self.clock, self._set_back)
        self.pauses.stages()  # outages that are over end, jobs or none
        return False

    def _work_once(self, stop: threading.Event) -> bool:
        job = self._claim()
        if job is None:
            return False
        try:
            self.emit("claimed", job=job)
            with self._beating(job, stop) as heartbeat:
                current: Job | None = job
                while current is not None and current.state is State.RUNNING:
                    current = self._take_stage(current, heartbeat)
                    if current is not None and current.state is State.RUNNING and current.stage in self._closed():
                        current = self._settle(current, Released(), heartbeat)
        finally:
            with self.gate:
                # Given on, it may be held by the next lane already.
                if self.held.get(job.id) == job.lease:
                    del self.held[job.id]
        return True

    def _set_back(self, by: timedelta) -> None:
        moved = self.queue.end_earlier(self.runner, by)
        self.pauses.end_earlier(by)
        logger.warning("this machine's clock was set back by %s; the pauses of %d jobs follow", by, moved)

    def _claim(self) -> Job | None:
        self.jumps.follow(self.clock, self._set_back)
        closed = self._closed()
        if self._is_far_ahead(closed):
            return None
        with self.gate:
            job = self.queue.claim(self.runner, self.lease_seconds, self.max_ram_bytes, paused=closed)
            if job is not None:
                self.held[job.id] = job.lease
            return job

    def _closed(self) -> frozenset[Stage]:
        """Return the stages that this worker does not begin now."""
        ahead = {Stage.FETCH} if self._has_one_ahead() else set()
        return self.pauses.stages() | (frozenset(Stage) - self.stages) | ahead

    def _is_far_ahead(self, closed: frozenset[Stage]) -> bool:
        """Say whether the next job in order would fetch, and must not: then none behind it is begun either."""
        if Stage.FETCH not in closed & self.stages:
            return False
        following = self.queue.first_due(self.runner, (self.stages - closed) | {Stage.FETCH}, self.max_ram_bytes)
        return following is not None and following.stage is Stage.FETCH

    def _has_one_ahead(self) -> bool:
        """Say whether a fetched job still waits to be computed in another lane: the disk holds one ahead."""
        if Stage.CONVERT in self.stages or Stage.FETCH not in self.stages:
            return False
        return self.queue.first_due(self.runner, (Stage.CONVERT,), self.max_ram_bytes) is not None

    def _take_stage(self, job: Job, heartbeat: HeartbeatState) -> Job | None:
        """Run the job's present stage; return the job after it, or None if it is no longer ours."""
        if heartbeat.cancelled.is_set():
            return self._settle(job, _stopped(heartbeat), heartbeat)
        attempt = self.results.begin_attempt(job.id, job.stage, self.runner)
        self.emit("stage_started", job=job, stage=job.stage)
        try:
            outcome = self._outcome(job, heartbeat)
        except (KeyboardInterrupt, SystemExit):
            self._finish(attempt, job, Released(), heartbeat)
            raise
        return self._finish(attempt, job, outcome, heartbeat)

    def _outcome(self, job: Job, heartbeat: HeartbeatState) -> Outcome:
        try:
            outcome = self.run_stage(job, heartbeat.cancelled)
        except HubbotError as error:
            outcome = Refused(error=error)
        except Exception as error:  # noqa: BLE001  whatever a stage raises is a verdict about its job
            quiet = heartbeat.cancelled.is_set() or self.pauses.folder_error() is not None
            outcome = Refused(error=_unforeseen(job, error, quiet=quiet))
        # Whatever a stage says that could not leave its work, or did not find it, says nothing about its job.
        starts_over = isinstance(outcome, StageDone) and outcome.next is Stage.INSPECT
        if (starts_over or isinstance(outcome, Refused)) and (unusable := self.pauses.folder_error()):
            outcome = Refused(error=unusable)
        finished = isinstance(outcome, StageDone | Published)
        # A stage that was told to stop may end in any error; what counts is why it was told.
        if heartbeat.cancelled.is_set() and not finished:
            return _stopped(heartbeat)
        if isinstance(outcome, Refused) and self.pauses.explains(outcome.error):
            pause = timedelta(seconds=FULL_DISK_SECONDS) if isinstance(outcome.error, OutOfRoom) else None
            return Held(error=outcome.error, pause=pause)
        if isinstance(outcome, Refused) and self._may_be_over(job, outcome.error):
            return Held(error=outcome.error, pause=None)
        if finished:
            self.token_refused.discard((job.id, job.stage))
            self.pauses.worked(job.stage)
        return outcome

    def _may_be_over(self, job: Job, error: HubbotError) -> bool:
        """Say whether the token was refused for the first time and the Hub takes it now: it is tried once more."""
        place = (job.id, job.stage)
        if not isinstance(error, TokenRejected) or place in self.token_refused:
            self.token_refused.discard(place)
            return False
        self.token_refused.add(place)
        return True

    def _finish(self, attempt: int, job: Job, outcome: Outcome, heartbeat: HeartbeatState) -> Job | None:
        error = outcome.error if isinstance(outcome, Refused | Held) else None
        told = None if error is None else error.to_json()
        after = self._settle(
            job,
            outcome,
            heartbeat,
            lambda after: Ended(attempt=attempt, outcome=_word(outcome, after), error=told),
        )
        word = "lost" if after is None else _word(outcome, after)
        if after is None:
            self.results.finish_attempt(attempt, word, told)
        self.emit("stage_finished", job=after or job, stage=job.stage, outcome=word, error=error)
        return after

    def _settle(
        self,
        job: Job,
        outcome: Outcome,
        heartbeat: HeartbeatState,
        ended: Callable[[Job], Ended | None] = lambda _: None,
    ) -> Job | None:
        """Store the outcome and how the attempt ended; return the job after it, or None if another has it now."""
        before = job
        while not heartbeat.lost:
            after = self._advance(before, outcome)
            if self.queue.apply(before, after, ended(after)):
                return after
            before = self.queue.job(job.id)
            # The same lease: only a request to cancel came in between, and the move is made again with it.
            if before.state is not State.RUNNING or before.lease != job.lease:
                break
        self.emit("lost", job=job)
        return None

    def _advance(self, job: Job, outcome: Outcome) -> Job:
        try:
            return advance(job, outcome, self.clock(), self.retry)
        except WrongUsage as error:
            # The pipeline's mistake, but the job's lease must not dangle for it.
            return advance(job, Refused(error=error), self.clock(), self.retry)

    @contextmanager
    def _beating(self, job: Job, stop: threading.Event) -> Iterator[HeartbeatState]:
        heartbeat, done = HeartbeatState(), threading.Event()
        thread = threading.Thread(target=self._beat, args=(job, heartbeat, stop, done), name="heartbeat")
        thread.start()
        try:
            yield heartbeat
        finally:
            done.set()
            thread.join()

    def _beat(self, job: Job, heartbeat: HeartbeatState, stop: threading.Event, done: threading.Event) -> None:
        every = max(1, round(self.beat_seconds / TICK_SECONDS))
        for tick in itertools.count():
            if tick % every == 0:
                self._renew(job, heartbeat)
            if stop.is_set() and not heartbeat.cancelled.is_set():
                self.emit("stopping", job=job)
                heartbeat.cancelled.set()
            if done.wait(TICK_SECONDS):
                return

    def _renew(self, job: Job, heartbeat: HeartbeatState) -> None:
        try:
            current = self.queue.heartbeat(job, self.lease_seconds)
        except Exception as error:
            # One missed beat costs nothing; a dead heartbeat would cost the lease.
            if isinstance(error, TryLater):
                logger.warning("the heartbeat of job %d failed: %s", job.id, error)
            else:
                logger.exception("the heartbeat of job %d failed", job.id)
            return
        heartbeat.lost = current is None
        heartbeat.cancel_requested = current is not None and current.cancel_requested
        if heartbeat.lost or heartbeat.cancel_requested:
            heartbeat.cancelled.set()


def _stopped(heartbeat: HeartbeatState) -> Outcome:
    return Cancelled() if heartbeat.cancel_requested else Released()


def _word(outcome: Outcome, after: Job) -> str:
    """Return the word for an outcome in the history: done, released, or the job's new state."""
    if isinstance(outcome, StageDone) and after.state is State.RUNNING:
        return "done"
    if isinstance(outcome, Released) and after.state is State.WAITING:
        return "released"
    return after.state.value


def _unforeseen(job: Job, error: Exception, *, quiet: bool) -> HubbotError:
    """Return a HubbotError for any other exception; its traceback goes to the log, without secrets."""
    if is_disk_full(error):
        # Whatever was being written: a folder for a child, a picture, a record.
        return OutOfRoom(
            "the disk is full", where=f"{job.repo}, {job.stage}", hint="free some space; the job goes on"
        )
    if not quiet:
        trace = redacted("".join(traceback.format_exception(error)))
        logger.error("job %d, %s failed unforeseen\n%s", job.id, job.stage, trace)
    return HubbotError(
        redacted(f"{type(error).__name__}: {error}"),
        where=f"{job.repo}, {job.stage}",
        hint="this is a fault of hubbot; its log has the traceback",
    )
