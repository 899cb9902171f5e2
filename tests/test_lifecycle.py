"""The life of a job, arrow by arrow."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbot.errors import Gated, HubbotError, NoRuntime, RateLimited, TryLater, ValueMismatch, WrongUsage, kinds
from hubbot.lifecycle import (
    TRANSITIONS,
    Cancelled,
    Job,
    Move,
    Outcome,
    Published,
    Refused,
    Released,
    Revived,
    Stage,
    StageDone,
    State,
    advance,
    cancel,
    revive,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
ENDED = frozenset({State.PUBLISHED, State.SKIPPED, State.PARKED, State.FAILED, State.CANCELLED})
RUNNING = Job(
    id=1,
    repo="org/moe",
    revision="a" * 40,
    variants=("4bit", "8bit"),
    recipe_key="4bit+8bit",
    stage=Stage.CONVERT,
    state=State.RUNNING,
    priority=0,
    attempts=0,
    not_before=None,
    lease="lease",
    lease_until=LATER,
    runner="mac",
    cancel_requested=False,
    error=None,
    requested_by="cli",
    created_at=NOW,
    updated_at=NOW,
    predicted_ram_bytes=None,
    predicted_disk_bytes=None,
    runtime=None,
)


def three_attempts(attempts: int, error: TryLater) -> timedelta | None:
    return timedelta(seconds=error.after_seconds or 10) if attempts < 3 else None


def after(outcome: Outcome, job: Job = RUNNING) -> Job:
    return advance(job, outcome, LATER, three_attempts)


def test_the_stages_follow_each_other_from_inspect_to_publish() -> None:
    walked = [Stage.INSPECT]
    while walked[-1].following is not None:
        walked.append(walked[-1].following)
    assert walked == list(Stage)
    assert walked[-1] is Stage.PUBLISH


def test_a_finished_stage_leads_to_the_next_under_the_same_lease() -> None:
    tried = replace(RUNNING, attempts=2, error={"kind": "HubUnavailable"})
    job = after(StageDone(), tried)
    assert (job.stage, job.state, job.attempts, job.error) == (Stage.VERIFY, State.RUNNING, 0, None)
    assert (job.lease, job.runner, job.updated_at) == ("lease", "mac", LATER)


def test_a_finished_stage_may_name_another_stage_and_predict() -> None:
    job = after(StageDone(next=Stage.FETCH, predicted_ram_bytes=7, predicted_disk_bytes=8))
    assert (job.stage, job.predicted_ram_bytes, job.predicted_disk_bytes) == (Stage.FETCH, 7, 8)
    assert after(StageDone(), job).predicted_ram_bytes == 7


def test_nothing_follows_the_last_stage_but_published() -> None:
    last = replace(RUNNING, stage=Stage.PUBLISH)
    with pytest.raises(WrongUsage, match="no stage follows publish"):
        after(StageDone(), last)
    job = after(Published(), last)
    assert (job.state, job.lease, job.runner) == (State.PUBLISHED, None, None)


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_of_the_tree_sends_the_job_to_the_state_it_names(kind: type[HubbotError]) -> None:
    job = after(Refused(error=kind("why")))
    assert job.state == State(kind.state)
    assert job.lease is None
    assert job.error is not None
    assert job.error["kind"] == kind.__name__


def test_try_later_waits_as_long_as_asked_and_parks_when_its_attempts_are_spent() -> None:
    job = after(Refused(error=RateLimited("slow down", after_seconds=90)))
    assert (job.state, job.attempts, job.not_before) == (State.WAITING, 1, LATER + timedelta(seconds=90))
    assert job.stage is Stage.CONVERT
    spent = after(Refused(error=RateLimited("slow down")), replace(RUNNING, attempts=2))
    assert (spent.state, spent.attempts, spent.not_before) == (State.PARKED, 3, None)


def test_a_job_parked_for_want_of_a_runtime_remembers_the_versions() -> None:
    parked = after(Refused(error=NoRuntime("no class"), runtime="mlx-lm 0.32.2"))
    assert (parked.state, parked.runtime) == (State.PARKED, "mlx-lm 0.32.2")
    assert after(Refused(error=Gated("no access"), runtime="mlx-lm 0.32.2")).runtime is None


def test_a_released_job_waits_without_an_attempt_being_counted() -> None:
    job = after(Released(), replace(RUNNING, attempts=2))
    assert (job.state, job.attempts, job.stage, job.not_before) == (State.WAITING, 2, Stage.CONVERT, None)


@pytest.mark.parametrize(
    "outcome",
    [StageDone(), Released(), Cancelled(), Refused(error=TryLater("later")), Refused(error=NoRuntime("none"))],
)
def test_a_job_that_is_to_be_cancelled_goes_nowhere_else(outcome: Outcome) -> None:
    job = after(outcome, replace(RUNNING, cancel_requested=True))
    assert (job.state, job.cancel_requested, job.not_before) == (State.CANCELLED, False, None)


def test_a_request_to_cancel_comes_too_late_for_a_published_or_failed_job() -> None:
    asked = replace(RUNNING, cancel_requested=True)
    assert after(Published(), asked).state is State.PUBLISHED
    assert after(Refused(error=ValueMismatch("off by 1")), asked).state is State.FAILED


def test_an_outcome_that_the_table_has_no_arrow_for_is_a_fault_of_hubbot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValueMismatch, "state", State.PUBLISHED)
    with pytest.raises(AssertionError, match="no arrow from running to published"):
        after(Refused(error=ValueMismatch("off by one")))


def test_cancel_asks_a_running_job_and_stops_a_waiting_one_at_once() -> None:
    asked = cancel(RUNNING, LATER)
    assert (asked.state, asked.cancel_requested, asked.lease) == (State.RUNNING, True, "lease")
    paused = replace(after(Released()), not_before=LATER)
    assert (cancel(paused, LATER).state, cancel(paused, LATER).not_before) == (State.CANCELLED, None)


@pytest.mark.parametrize("state", [State.PUBLISHED, State.SKIPPED, State.FAILED, State.CANCELLED])
def test_cancel_of_a_job_that_has_ended_is_refused(state: State) -> None:
    with pytest.raises(WrongUsage, match=f"job 1 is {state} and cannot be cancelled"):
        cancel(replace(RUNNING, state=state), LATER)


@pytest.mark.parametrize("state", [State.PARKED, State.SKIPPED, State.CANCELLED, State.WAITING])
def test_a_revived_job_resumes_at_its_stage_with_all_its_attempts(state: State) -> None:
    old = replace(RUNNING, state=state, attempts=3, error={"kind": "x"}, not_before=LATER, runtime="r")
    job = revive(old, LATER)
    assert (job.state, job.stage, job.attempts) == (State.WAITING, Stage.CONVERT, 0)
    assert (job.error, job.not_before, job.runtime) == (None, None, None)


def test_a_revived_failed_job_begins_anew() -> None:
    assert revive(replace(RUNNING, state=State.FAILED), LATER).stage is Stage.INSPECT


@pytest.mark.parametrize("state", [State.RUNNING, State.PUBLISHED])
def test_a_running_or_published_job_cannot_be_revived(state: State) -> None:
    with pytest.raises(WrongUsage, match="cannot be revived"):
        revive(replace(RUNNING, state=state), LATER)


@pytest.mark.parametrize("state", sorted(set(State) - {State.RUNNING, State.WAITING, State.PARKED}))
@pytest.mark.parametrize(
    "outcome", [StageDone(), Published(), Released(), Cancelled(), Refused(error=HubbotError("x"))]
)
def test_an_outcome_for_a_job_that_does_not_run_is_refused(state: State, outcome: Outcome) -> None:
    with pytest.raises(WrongUsage):
        after(outcome, replace(RUNNING, state=state))


def test_a_job_as_json_is_plain_and_keeps_its_lease_to_itself() -> None:
    data = RUNNING.to_json()
    assert json.loads(json.dumps(data))["created_at"] == "2026-03-01T12:00:00+00:00"
    assert data["state"] == "running"
    assert "lease" not in data


def claimed(job: Job) -> Job:
    return replace(job, state=State.RUNNING, lease="new", runner="mac", lease_until=LATER, not_before=None)


errors = st.sampled_from(list(kinds())).map(lambda kind: Refused(error=kind("drawn"), runtime="r"))
done = st.builds(StageDone, next=st.none() | st.sampled_from(list(Stage)))
outcomes = st.one_of(done, errors, st.sampled_from([Published(), Released(), Cancelled()]))
by_person: st.SearchStrategy[Callable[[Job, datetime], Job]] = st.sampled_from([cancel, revive])


@given(st.lists(st.one_of(outcomes, by_person), max_size=40))
def test_no_sequence_of_outcomes_and_commands_leaves_the_table(moves: list[Outcome | Callable[..., Job]]) -> None:
    job = RUNNING
    for move in moves:
        if job.state is State.WAITING and not callable(move):
            job = claimed(job)
        kind: type[Move] = type(move) if not callable(move) else Cancelled if move is cancel else Revived
        allowed = TRANSITIONS.get((job.state, kind))
        try:
            new = move(job, LATER) if callable(move) else after(move, job)
        except WrongUsage:
            assert allowed is None or (kind is StageDone and job.stage is Stage.PUBLISH)
            continue
        assert allowed is not None
        assert new.state in allowed or (
            move is cancel and new == replace(job, cancel_requested=True, updated_at=LATER)
        )
        assert (new.lease is None) == (new.state is not State.RUNNING)
        assert not (new.cancel_requested and new.state is not State.RUNNING)
        assert new.not_before is None or new.state is State.WAITING
        job = new
