"""Jobs: where one stands, what may happen to it, and what each happening makes of it.

Pure: it never reads the clock or the database. `TRANSITIONS` lists every arrow, in words beside it;
`advance` follows the outcome of a stage, `cancel` and `revive` a person. How long a job waits before it is
tried again is the caller's rule (retry.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias, assert_never

from hubbot.errors import HubbotError, Superseded, TryLater, WrongUsage


class State(StrEnum):
    """How a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    PUBLISHED = "published"
    SKIPPED = "skipped"
    PARKED = "parked"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """Where a job is; the order of the members is the order of the work."""

    INSPECT = "inspect"
    CLASSIFY = "classify"
    PLAN = "plan"
    FETCH = "fetch"
    CONVERT = "convert"
    VERIFY = "verify"
    SMOKE = "smoke"
    CARD = "card"
    PUBLISH = "publish"

    @property
    def following(self) -> "Stage | None":
        """Return the stage after this one, or None after the last."""
        stages = list(Stage)
        place = stages.index(self) + 1
        return stages[place] if place < len(stages) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One (repo, revision, recipe set) on its way from inspect to publish.

    `attempts` counts the failed attempts of the present stage; `not_before` ends a pause; `lease`,
    `lease_until` and `runner` are set while it runs; `error` is the last error's `to_json`; the predictions
    are bytes; `runtime` names the runtime versions it was parked with; `allow_older` lets it replace a newer
    revision, because a person said so.
    """

    id: int
    repo: str
    revision: str
    variants: tuple[str, ...]
    recipe_key: str
    stage: Stage
    state: State
    priority: int
    attempts: int
    not_before: datetime | None
    lease: str | None
    lease_until: datetime | None
    runner: str | None
    cancel_requested: bool
    error: dict[str, Any] | None
    requested_by: str
    created_at: datetime
    updated_at: datetime
    predicted_ram_bytes: int | None
    predicted_disk_bytes: int | None
    runtime: str | None
    allow_older: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain data for --json: ISO 8601 times; the lease stays inside, for it is a key."""
        plain = asdict(self)
        del plain["lease"]
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in plain.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDone:
    """The stage is finished; `next` names another one than the following; predictions replace older ones."""

    next: Stage | None = None
    predicted_ram_bytes: int | None = None
    predicted_disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The last stage is finished: everything asked for is on the Hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The stage ended with an error, whose class says what to do; `runtime` is kept where it parks."""

    error: HubbotError
    runtime: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """The runner gives the job back unfinished, through no fault of the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An outage of the world stopped the stage: the job waits at it, and no attempt is counted."""

    error: HubbotError
    pause: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person asked to stop."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A runner took the job."""


@dataclass(frozen=True, slots=True)
class Revived:
    """A person, or a new runtime, gives the job another chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaken:
    """A newer revision of the same repo waits for the same variants."""

    revision: str


Outcome: TypeAlias = StageDone | Published | Refused | Released | Held | Cancelled
Move: TypeAlias = Outcome | Claimed | Revived | Overtaken
# Given the failed attempts of this stage, the present one included: the pause, or None to give up.
RetryRule: TypeAlias = Callable[[int, TryLater], timedelta | None]


def _to(*states: State) -> frozenset[State]:
    return frozenset(states)


TRANSITIONS: Mapping[tuple[State, type[Move]], frozenset[State]] = MappingProxyType(
    {
        # A runner takes a job whose pause is over and that fits its memory.
        (State.WAITING, Claimed): _to(State.RUNNING),
        # A stage is done: on to the next, with the same lease; here a request to cancel is obeyed.
        (State.RUNNING, StageDone): _to(State.RUNNING, State.CANCELLED),
        # The last stage is done; a request to cancel came too late.
        (State.RUNNING, Published): _to(State.PUBLISHED),
        # NotForUs skips, NeedsHuman parks, Disproved and the unforeseen fail. TryLater waits, and parks when
        # its attempts are spent. A job that a person wants cancelled neither waits nor parks.
        (State.RUNNING, Refused): _to(State.SKIPPED, State.PARKED, State.FAILED, State.WAITING, State.CANCELLED),
        # The runner shuts down: the job waits at its stage, no attempt is counted.
        (State.RUNNING, Released): _to(State.WAITING, State.CANCELLED),
        # The Hub is down, the token is refused or the disk is full: the same, with the reason.
        (State.RUNNING, Held): _to(State.WAITING, State.CANCELLED),
        # The runner has seen the request to cancel and stopped the stage.
        (State.RUNNING, Cancelled): _to(State.CANCELLED),
        # Nobody works on it: a person's cancel acts at once.
        (State.WAITING, Cancelled): _to(State.CANCELLED),
        # A newer revision takes the place of the one that waits.
        (State.WAITING, Overtaken): _to(State.SKIPPED),
        (State.PARKED, Cancelled): _to(State.CANCELLED),
        # A person retries it, or a new runtime may know it. In its pause, the pause ends.
        (State.WAITING, Revived): _to(State.WAITING),
        (State.SKIPPED, Revived): _to(State.WAITING),
        (State.PARKED, Revived): _to(State.WAITING),
        (State.FAILED, Revived): _to(State.WAITING),
        (State.CANCELLED, Revived): _to(State.WAITING),
    }
)


def advance(job: Job, outcome: Outcome, now: datetime, retry: RetryRule) -> Job:
    """Return the job after a stage's outcome; raises WrongUsage where TRANSITIONS has no arrow."""
    _check(job, type(outcome))
    match outcome:
        case StageDone():
            after = _go_on(job, outcome)
        case Published():
            after = _leave(job, State.PUBLISHED, error=None)
        case Refused():
            after = _refuse(job, outcome, now, retry)
        case Released():
            after = _leave(job, State.WAITING, error=job.error)
        case Held(error=error, pause=pause):
            after = _leave(job, State.WAITING, error=error.to_json())
            if pause is not None and after.state is State.WAITING:
                after = replace(after, not_before=now + pause)
        case Cancelled():
            after = _leave(job, State.CANCELLED, error=job.error)
        case _:
            assert_never(outcome)
    assert after.state in TRANSITIONS[job.state, type(outcome)], f"no arrow from {job.state} to {after.state}"
    return replace(after, updated_at=now)


def cancel(job: Job, now: datetime) -> Job:
    """Return the job after a person's cancel: a running one is asked to stop, any other stops at once."""
    _check(job, Cancelled)
    if job.state is State.RUNNING:
        return replace(job, cancel_requested=True, updated_at=now)
    return replace(_leave(job, State.CANCELLED, error=job.error), not_before=None, updated_at=now)


def overtake(job: Job, newer: Overtaken, now: datetime) -> Job:
    """Return the waiting job skipped for a newer revision; raises WrongUsage where it does not wait."""
    _check(job, Overtaken)
    error = Superseded(f"a newer revision, {newer.revision[:12]}, takes its place", where=job.repo)
    return replace(_leave(job, State.SKIPPED, error=error.to_json()), updated_at=now)


def revive(job: Job, now: datetime) -> Job:
    """Return the job waiting again, all its attempts before it.

    It resumes at its stage, except that a failed one begins anew: what it had built is disproved.
    """
    _check(job, Revived)
    return replace(
        job,
        state=State.WAITING,
        stage=Stage.INSPECT if job.state is State.FAILED else job.stage,
        attempts=0,
        not_before=None,
        error=None,
        runtime=None,
        updated_at=now,
    )


def _check(job: Job, move: type[Move]) -> None:
    if (job.state, move) not in TRANSITIONS:
        raise WrongUsage(f"job {job.id} is {job.state} and cannot be {move.__name__.lower()}", where=job.repo)


def _go_on(job: Job, done: StageDone) -> Job:
    stage = done.next or job.stage.following
    if stage is None:
        raise WrongUsage(f"no stage follows {job.stage}; job {job.id} must be published", where=job.repo)
    after = replace(
        job,
        stage=stage,
        attempts=0,
        error=None,
        predicted_ram_bytes=done.predicted_ram_bytes or job.predicted_ram_bytes,
        predicted_disk_bytes=done.predicted_disk_bytes or job.predicted_disk_bytes,
    )
    return _leave(after, State.CANCELLED, error=None) if job.cancel_requested else after


def _refuse(job: Job, refused: Refused, now: datetime, retry: RetryRule) -> Job:
    error = refused.error
    if not isinstance(error, TryLater):
        after = _leave(job, State(error.state), error=error.to_json())
        return replace(after, runtime=refused.runtime if after.state is State.PARKED else None)
    attempts = job.attempts + 1
    pause = retry(attempts, error)
    state = State.PARKED if pause is None else State.WAITING
    after = replace(_leave(job, state, error=error.to_json()), attempts=attempts)
    if pause is None or after.state is not State.WAITING:
        return after
    return replace(after, not_before=now + pause)


def _leave(job: Job, state: State, *, error: dict[str, Any] | None) -> Job:
    """Take the job from its runner; a job that is to be cancelled has no reason to wait or to park."""
    if job.cancel_requested and state in {State.WAITING, State.PARKED}:
        state = State.CANCELLED
    return replace(
        job,
        state=state,
        error=error,
        lease=None,
        lease_until=None,
        runner=None,
        cancel_requested=False,
        not_before=None,
    )
