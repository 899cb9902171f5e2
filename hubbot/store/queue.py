"""The queue: jobs as rows, taken under leases, changed only by compare-and-swap.

hubbot.lifecycle decides the next state of a job; this only stores it. Every method is one transaction.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlmodel import Session, col, select

from hubbot.errors import ChildDied, WrongUsage
from hubbot.lifecycle import Job, Overtaken, Refused, RetryRule, Stage, State, advance, cancel, overtake, revive
from hubbot.store.database import finds_some, insertion, reading, writing
from hubbot.store.records import Machine
from hubbot.store.tables import AttemptRow, JobRow
from hubbot.store.workers import alive

Clock = Callable[[], datetime]

# No pause and no lease is longer: one that ends later was written before the clock was set back.
LONGEST_PAUSE = timedelta(hours=7)
LONGEST_LEASE = timedelta(days=1)

# A job that has waited for six hours goes before one of the next priority that is new: everyone's turn comes.
SECONDS_PER_PRIORITY = 6 * 3600
HIGHEST_PRIORITY = 1000
# Jobs changed in one transaction: other writers wait no longer than for these.
SLICE = 25
# And so long the others have the database to themselves in between, in seconds.
GIVE_WAY_SECONDS = 0.02

# What a move may change; lease_until is absent because heartbeats own it while a job runs.
_MOVABLE = (
    "stage", "state", "attempts", "not_before", "lease", "runner", "cancel_requested", "error", "updated_at",
    "predicted_ram_bytes", "predicted_disk_bytes", "runtime",
)  # fmt: skip

_ANY_WAITING = sa.select(sa.literal(1)).where(col(JobRow.state) == State.WAITING).limit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs are meant: every condition that is set must hold.

    `pattern` is a glob of repo ids, `kind` the class of the last error; `other_runtime`: of other versions.
    """

    ids: tuple[int, ...] = ()
    states: tuple[State, ...] = ()
    pattern: str | None = None
    kind: str | None = None
    other_runtime: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended: stored together with what it makes of the job, so that a kill parts them never."""

    attempt: int
    outcome: str
    error: dict[str, Any] | None


class Queue:
    """The jobs of one database."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def enqueue(
        self,
        repo: str,
        revision: str,
        variants: tuple[str, ...],
        recipe_key: str,
        *,
        requested_by: str,
        priority: int = 0,
        newest: bool = False,
        allow_older: bool = False,
    ) -> tuple[Job, bool]:
        """Return the one job for this repo, revision and recipe key, and whether it is new.

        A job that exists keeps its state and takes over a higher priority, and `allow_older`. `newest` says that
        this is the repo's newest revision: jobs that wait for the same of another one are superseded.
        """
        now = self._clock()
        values = {
            "repo": repo, "revision": revision, "recipe_key": recipe_key, "variants": list(variants),
            "stage": Stage.INSPECT, "state": State.WAITING, "priority": priority, "attempts": 0,
            "cancel_requested": False, "requested_by": requested_by, "created_at": now, "updated_at": now,
            "allow_older": allow_older, "rank": _rank(now, priority),
        }  # fmt: skip
        same = (
            col(JobRow.repo) == repo,
            col(JobRow.revision) == revision,
            col(JobRow.recipe_key) == recipe_key,
        )
        with writing(self._engine) as session:
            insert = insertion(session, JobRow, values).on_conflict_do_nothing().returning(col(JobRow.id))
            created = session.execute(insert).first() is not None
            if not created:
                raised = sa.update(JobRow).where(*same, col(JobRow.priority) < priority)
                earlier = (priority - col(JobRow.priority)) * SECONDS_PER_PRIORITY
                session.execute(raised.values(priority=priority, rank=col(JobRow.rank) - earlier, updated_at=now))
                if allow_older:
                    session.execute(sa.update(JobRow).where(*same).values(allow_older=True, updated_at=now))
            if newest:
                self._overtake(session, repo, revision, recipe_key)
            return job_of(session.exec(select(JobRow).where(*same)).one()), created

    def count_within(self, window: timedelta, *, requested_by: str, owner: str) -> int:
        """Return how many jobs for repos of `owner` were asked for by `requested_by` within the last `window`."""
        since = self._clock() - window
        query = select(sa.func.count()).where(
            col(JobRow.created_at) >= since,
            col(JobRow.requested_by) == requested_by,
            col(JobRow.repo).startswith(f"{owner}/", autoescape=True),
        )
        with reading(self._engine) as session:
            return int(session.exec(query).one())

    def _overtake(self, session: Session, repo: str, revision: str, recipe_key: str) -> None:
        waiting = (
            select(JobRow)
            .where(
                col(JobRow.repo) == repo, col(JobRow.recipe_key) == recipe_key, col(JobRow.revision) != revision
            )
            .where(col(JobRow.state) == State.WAITING, col(JobRow.allow_older).is_(False))
            .with_for_update()
        )
        for row in session.exec(waiting).all():
            before = job_of(row)
            _swap(session, before, overtake(before, Overtaken(revision=revision), self._clock()))

    def claim(
        self,
        runner: str,
        lease_seconds: float,
        max_ram_bytes: int | None = None,
        *,
        paused: Collection[Stage] = (),
    ) -> Job | None:
        """Lease the job of the lowest rank (priority and waiting) that is due and fits the memory, or return None.

        No job that stands at one of the `paused` stages is taken, none whose work lies on the disk of another
        machine that lives, and none that another one has room for and this one has not.
        """
        now = self._clock()
        first = (
            select(JobRow.id)
            .where(self._due(), _fits(max_ram_bytes), _not_at(paused), self._left_to(runner))
            .order_by(col(JobRow.rank), col(JobRow.id))
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        taken = (
            sa.update(JobRow)
            .where(col(JobRow.id) == first.scalar_subquery(), col(JobRow.state) == State.WAITING)
            .values(
                state=State.RUNNING, lease=uuid4().hex, lease_until=now + timedelta(seconds=lease_seconds),
                runner=runner, home=runner, not_before=None, updated_at=now,
            )
            .returning(JobRow)
        )  # fmt: skip
        return self._first(taken)

    def has_waiting(self) -> bool:
        """Say whether any job waits, due or not: the cheap question, for a runner that has nothing to do."""
        return finds_some(self._engine, _ANY_WAITING)

    def first_due(self, runner: str, stages: Collection[Stage], max_ram_bytes: int | None = None) -> Job | None:
        """Return the job at one of these stages that `claim` would lease, and leave it."""
        query = select(JobRow).where(
            self._due(), _fits(max_ram_bytes), col(JobRow.stage).in_(list(stages)), self._left_to(runner)
        )
        with reading(self._engine) as session:
            row = session.exec(query.order_by(col(JobRow.rank), col(JobRow.id)).limit(1)).first()
            return None if row is None else job_of(row)

    def heartbeat(self, job: Job, lease_seconds: float) -> Job | None:
        """Extend the lease; return the job as it is now, or None if the lease was lost."""
        beat = (
            sa.update(JobRow)
            .where(col(JobRow.id) == job.id, col(JobRow.lease) == job.lease)
            .where(col(JobRow.state) == State.RUNNING)
            .values(lease_until=self._clock() + timedelta(seconds=lease_seconds))
            .returning(JobRow)
        )
        return self._first(beat)

    def apply(self, before: Job, after: Job, ended: Ended | None = None) -> bool:
        """Store `after`, and how the attempt `ended`, unless the job has changed since `before`; return whether.

        A changed state or lease means that another runner has the job; after a changed `cancel_requested` the
        caller computes the move again.
        """
        with writing(self._engine) as session:
            stored = _swap(session, before, after)
            if stored and ended is not None:
                _close(session, col(AttemptRow.id) == ended.attempt, self._clock(), ended.outcome, ended.error)
            return stored

    def release_runner(self, runner: str, retry: RetryRule, *, held: Collection[int] = ()) -> list[Job]:
        """Give back the jobs that an earlier process of this runner left running; called when a runner starts.

        Those `held` by this process stay. The others are due at once, but the attempt counts: a job that crashes
        the whole machine again and again parks in the end.
        """
        left = sa.and_(col(JobRow.runner) == runner, col(JobRow.id).not_in(list(held)))
        return self._died(left, retry, at_once=True)

    def leases(self, by: str) -> dict[tuple[int, datetime], float]:
        """Return the seconds for which each lease of another runner than `by` lasts, by job and the lease's end.

        Zero or less: it has expired by this machine's clock, or ends later than any lease.
        """
        now, until = self._clock(), col(JobRow.lease_until)
        others = (col(JobRow.state) == State.RUNNING, col(JobRow.runner) != by)
        with reading(self._engine) as session:
            found = session.execute(sa.select(col(JobRow.id), until).where(*others)).all()
        lasts = {(number, end): end - now for number, end in found if end is not None}
        return {one: left.total_seconds() if left <= LONGEST_LEASE else 0.0 for one, left in lasts.items()}

    def rescue(
        self, retry: RetryRule, by: str, silent: Collection[tuple[int, datetime]] | None = None
    ) -> list[Job]:
        """Give back the jobs whose lease has expired, and count the attempt; `silent`: those of these leases.

        `by` names the calling runner. It is alive, so its own leases do not count as expired, even if the machine
        has slept through them.
        """
        until, now = col(JobRow.lease_until), self._clock()
        which = sa.or_(until < now, until > now + LONGEST_LEASE)
        if silent is not None:
            which = col(JobRow.id).in_([number for number, _ in silent])
        return self._died(sa.and_(which, col(JobRow.runner) != by), retry, at_once=False, only=silent)

    def end_earlier(self, runner: str, by: timedelta) -> int:
        """Let the pauses of the jobs that `runner` worked on last end earlier; return how many there were.

        Its clock was set back by so much since it stored them.
        """
        paused = (
            select(JobRow)
            .where(col(JobRow.state) == State.WAITING, col(JobRow.not_before).is_not(None))
            .where(col(JobRow.home) == runner)
            .order_by(col(JobRow.id))
        )
        with writing(self._engine) as session:
            rows = session.exec(paused.with_for_update(skip_locked=True)).all()
            for row in rows:
                row.not_before = None if row.not_before is None else row.not_before - by
            return len(rows)

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: at once, or when its runner notices; raises WrongUsage if it has ended."""
        return self._change(job_id, lambda job: cancel(job, self._clock()))

    def retry(self, job_id: int) -> Job:
        """Let a job wait again, now and with all its attempts; raises WrongUsage if it runs or is published."""
        return self._change(job_id, lambda job: revive(job, self._clock()))

    def cancel_all(self, selection: Selection) -> list[Job]:
        """Cancel the jobs that are meant, each as `cancel` does; return those that were not ended before."""
        return self._change_all(self.select(selection), lambda job: cancel(job, self._clock()))

    def retry_all(self, selection: Selection) -> list[Job]:
        """Let the jobs that are meant wait again, each as `retry` does; return those that could."""
        return self._change_all(self.select(selection), lambda job: revive(job, self._clock()))

    def prioritise(self, job_id: int, priority: int) -> Job:
        """Give a job another priority; raises WrongUsage where there is no such job, or it has ended."""
        with writing(self._engine) as session:
            row = _row(session, job_id, lock=True)
            if row.state not in {State.WAITING, State.RUNNING, State.PARKED}:
                raise WrongUsage(f"job {job_id} is {row.state} and waits for nothing", where=row.repo)
            row.rank += (row.priority - priority) * SECONDS_PER_PRIORITY
            row.priority = priority
            session.add(row)
            session.flush()
            return job_of(row)

    def revive_no_runtime(self, runtime: str) -> list[Job]:
        """Retry the jobs that other versions than `runtime` had no class or no config for; return them."""
        revived = []
        for kind in ("NoRuntime", "ConfigUnresolved"):
            parked = Selection(states=(State.PARKED,), kind=kind, other_runtime=runtime)
            revived += self.retry_all(parked)
        return revived

    def select(self, selection: Selection) -> list[int]:
        """Return the numbers of the jobs that are meant, the oldest first."""
        query = sa.select(col(JobRow.id), col(JobRow.repo)).where(*_meant(selection)).order_by(col(JobRow.id))
        with reading(self._engine) as session:
            found = session.execute(query).all()
        pattern = selection.pattern
        return [number for number, repo in found if pattern is None or fnmatchcase(repo, pattern)]

    def jobs(self, state: State | None = None, limit: int | None = None) -> list[Job]:
        """Return jobs, the newest first."""
        query = select(JobRow).order_by(col(JobRow.id).desc()).limit(limit)
        if state is not None:
            query = query.where(col(JobRow.state) == state)
        with reading(self._engine) as session:
            return [job_of(row) for row in session.exec(query).all()]

    def job(self, job_id: int) -> Job:
        """Return one job; raises WrongUsage if there is none of this number."""
        with reading(self._engine) as session:
            return job_of(_row(session, job_id, lock=False))

    def counts(self) -> dict[State, int]:
        """Return the number of jobs by state, zeros included."""
        query = select(JobRow.state, sa.func.count()).group_by(col(JobRow.state))
        with reading(self._engine) as session:
            counted = dict(session.exec(query).all())
        return {state: counted.get(state, 0) for state in State}

    def next_due(
        self,
        max_ram_bytes: int | None = None,
        *,
        paused: Collection[Stage] = (),
        runner: str | None = None,
    ) -> datetime | None:
        """Return when the first waiting job that fits may be claimed: its creation, or the end of its pause."""
        waited_for = col(JobRow.not_before)
        real = sa.case((waited_for <= self._clock() + LONGEST_PAUSE, waited_for), else_=None)
        due = sa.func.coalesce(real, col(JobRow.created_at))
        query = sa.select(sa.func.min(due)).where(
            col(JobRow.state) == State.WAITING, _fits(max_ram_bytes), _not_at(paused), self._left_to(runner)
        )
        with reading(self._engine) as session:
            return session.scalar(query)

    def _first(self, statement: Any) -> Job | None:
        with writing(self._engine) as session:
            row = session.execute(statement).scalars().first()
            return None if row is None else job_of(row)

    def _change(self, job_id: int, move: Callable[[Job], Job]) -> Job:
        with writing(self._engine) as session:
            before = job_of(_row(session, job_id, lock=True))
            after = move(before)
            _swap(session, before, after)
            return after

    def _change_all(self, numbers: Sequence[int], move: Callable[[Job], Job]) -> list[Job]:
        changed = []
        for start in range(0, len(numbers), SLICE):
            if start:
                time.sleep(GIVE_WAY_SECONDS)
            some = col(JobRow.id).in_(numbers[start : start + SLICE])
            with writing(self._engine) as session:
                for row in session.exec(select(JobRow).where(some).order_by(col(JobRow.id)).with_for_update()):
                    before = job_of(row)
                    try:
                        after = move(before)
                    except WrongUsage:
                        # It has ended, or begun, since it was selected.
                        continue
                    if _swap(session, before, after):
                        changed.append(after)
        return changed

    def _due(self) -> sa.ColumnElement[bool]:
        now, waited_for = self._clock(), col(JobRow.not_before)
        over = sa.or_(waited_for.is_(None), waited_for <= now, waited_for > now + LONGEST_PAUSE)
        return sa.and_(col(JobRow.state) == State.WAITING, over)

    def _left_to(self, runner: str | None) -> sa.ColumnElement[bool]:
        """Say which jobs a runner (None: any) may take, seeing what other machines there are."""
        if runner is None:
            return sa.true()
        with reading(self._engine) as session:
            machines = {machine.runner: machine for machine in alive(session, self._clock())}
        me = machines.pop(runner, None)
        if not machines:
            return sa.true()
        home = col(JobRow.home)
        # Before its first stage has run, a job has no work on any disk.
        mine = sa.or_(home.is_(None), home.not_in(list(machines)), col(JobRow.stage) == Stage.INSPECT)
        if me is None:
            return mine
        elsewhere = sa.or_(*(_has_room(machine) for machine in machines.values()))
        return sa.and_(mine, sa.or_(_has_room(me), home == runner, sa.not_(elsewhere)))

    def _died(
        self,
        which: sa.ColumnElement[bool],
        retry: RetryRule,
        *,
        at_once: bool,
        only: Collection[tuple[int, datetime]] | None = None,
    ) -> list[Job]:
        now = self._clock()
        query = select(JobRow).where(col(JobRow.state) == State.RUNNING, which).order_by(col(JobRow.id))
        given_back = []
        with writing(self._engine) as session:
            for row in session.exec(query.with_for_update(skip_locked=True)).all():
                before = job_of(row)
                if only is not None and (before.id, before.lease_until) not in only:
                    # It was renewed a moment ago.
                    continue
                error = ChildDied(f"the runner {before.runner} ended in the middle of {before.stage}")
                after = advance(before, Refused(error=error), now, retry)
                if at_once:
                    after = replace(after, not_before=None)
                if _swap(session, before, after):
                    _close(session, col(AttemptRow.job_id) == after.id, now, "lost", after.error)
                    given_back.append(after)
        return given_back


def job_of(row: JobRow) -> Job:
    """Return the job that a row holds."""
    values = row.model_dump(exclude={"rank", "home"})
    return Job(**{**values, "variants": tuple(values["variants"])})


def _row(session: Session, job_id: int, *, lock: bool) -> JobRow:
    row = session.get(JobRow, job_id, with_for_update=lock)
    if row is None:
        raise WrongUsage(f"there is no job {job_id}", hint="`hubbot jobs` lists them")
    return row


def _rank(since: datetime, priority: int) -> int:
    return int(since.timestamp()) - priority * SECONDS_PER_PRIORITY


def _meant(selection: Selection) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if selection.ids:
        conditions.append(col(JobRow.id).in_(selection.ids))
    if selection.states:
        conditions.append(col(JobRow.state).in_(selection.states))
    if selection.kind is not None:
        conditions.append(col(JobRow.error)["kind"].as_string() == selection.kind)
    if selection.other_runtime is not None:
        conditions.append(col(JobRow.runtime).is_distinct_from(selection.other_runtime))
    return conditions


def _has_room(machine: Machine) -> sa.ColumnElement[bool]:
    ram = sa.func.coalesce(col(JobRow.predicted_ram_bytes), 0)
    disk = sa.func.coalesce(col(JobRow.predicted_disk_bytes), 0)
    return sa.and_(ram <= machine.memory_bytes, disk <= machine.disk_bytes)


def _fits(max_ram_bytes: int | None) -> sa.ColumnElement[bool]:
    ram = col(JobRow.predicted_ram_bytes)
    return sa.true() if max_ram_bytes is None else sa.or_(ram.is_(None), ram <= max_ram_bytes)


def _not_at(stages: Collection[Stage]) -> sa.ColumnElement[bool]:
    return col(JobRow.stage).not_in(list(stages)) if stages else sa.true()


def _swap(session: Session, before: Job, after: Job) -> bool:
    values = {name: value for name, value in asdict(after).items() if name in _MOVABLE}
    if after.lease is None:
        values["lease_until"] = None
    unchanged = (
        col(JobRow.id) == before.id,
        col(JobRow.state) == before.state,
        col(JobRow.lease).is_not_distinct_from(before.lease),
        col(JobRow.cancel_requested) == before.cancel_requested,
    )
    swap = sa.update(JobRow).where(*unchanged).values(values).returning(col(JobRow.id))
    return session.execute(swap, execution_options={"synchronize_session": False}).first() is not None


def _close(
    session: Session, which: sa.ColumnElement[bool], now: datetime, outcome: str, error: dict[str, Any] | None
) -> None:
    still_open = sa.update(AttemptRow).where(which, col(AttemptRow.ended_at).is_(None))
    session.execute(still_open.values(ended_at=now, outcome=outcome, error=error))
