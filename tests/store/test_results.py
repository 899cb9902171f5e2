"""What was found, tried, seen and published stays on record, once."""

from datetime import datetime
from typing import Any, Protocol

import pytest

from hubbot.lifecycle import Stage
from hubbot.store import results as results_module
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests.store.recorded import audits, sightings


class Clock(Protocol):
    now: datetime

    def __call__(self) -> datetime: ...
    def forward(self, seconds: float) -> None: ...


@pytest.fixture
def job_id(queue: Queue) -> int:
    return queue.enqueue("org/moe", "a" * 40, ("4bit",), "4bit", requested_by="test")[0].id


def publish(results: Results, variant: str = "4bit", target_revision: str = "t1") -> None:
    results.record_publication(
        source_repo="org/moe",
        source_revision="a" * 40,
        variant=variant,
        target_repo=f"me/moe-{variant}",
        target_revision=target_revision,
        bits_per_weight=4.5,
        size_bytes=5 * 2**33,
        report={"kl": 0.01},
    )


def test_attempts_are_history_with_their_beginning_end_and_error(
    results: Results, job_id: int, clock: Clock
) -> None:
    first = results.begin_attempt(job_id, Stage.FETCH, "mac")
    clock.forward(9)
    results.finish_attempt(first, "waiting", {"kind": "HubUnavailable"})
    results.begin_attempt(job_id, Stage.FETCH, "mac")
    done, running = results.attempts(job_id)
    assert (done.stage, done.outcome, done.error) == (Stage.FETCH, "waiting", {"kind": "HubUnavailable"})
    assert done.ended_at is not None
    assert (done.ended_at - done.started_at).total_seconds() == 9
    assert (running.ended_at, running.outcome, running.error) == (None, None, None)


def test_the_seconds_of_a_stage_are_those_of_all_its_attempts(
    queue: Queue, results: Results, job_id: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = queue.enqueue("org/other", "a" * 40, ("4bit",), "4bit", requested_by="test")[0].id
    for stage, took in ((Stage.FETCH, 9.0), (Stage.FETCH, 1.5), (Stage.PLAN, 2.0)):
        attempt = results.begin_attempt(job_id, stage, "mac")
        clock.forward(took)
        results.finish_attempt(attempt, "done", None)
    results.begin_attempt(job_id, Stage.CONVERT, "mac")
    assert results.seconds([job_id, other]) == {job_id: {"fetch": 10.5, "plan": 2.0}, other: {}}
    assert results.seconds([]) == {}
    monkeypatch.setattr(results_module, "ASKED_AT_ONCE", 1)
    assert results.seconds([other, job_id]) == {job_id: {"fetch": 10.5, "plan": 2.0}, other: {}}


def test_an_attempt_is_closed_only_once(results: Results, job_id: int) -> None:
    attempt = results.begin_attempt(job_id, Stage.FETCH, "mac")
    results.finish_attempt(attempt, "lost", None)
    results.finish_attempt(attempt, "done", None)
    assert [attempt.outcome for attempt in results.attempts(job_id)] == ["lost"]


def test_a_result_put_again_replaces_the_older_one(results: Results, job_id: int) -> None:
    results.put(job_id, "inspect", {"layout": "x"})
    results.put(job_id, "inspect", {"layout": "y"})
    results.put(job_id, "report", {"ok": True}, "4bit")
    results.put(job_id, "report", {"ok": False}, "8bit")
    assert results.get(job_id, "inspect") == {"layout": "y"}
    assert results.get(job_id, "report", "8bit") == {"ok": False}
    assert results.get(job_id, "report") is None
    assert [(r.kind, r.variant) for r in results.all(job_id)] == [
        ("inspect", None),
        ("report", "4bit"),
        ("report", "8bit"),
    ]


def test_a_layout_stored_under_a_letter_is_read_under_its_word(results: Results, job_id: int) -> None:
    former = {"row": "E'", "order": "concatenated"}
    results.put(job_id, "layout", former)
    results.put(job_id, "card", former)
    assert results.get(job_id, "layout") == {"row": "granite_fused", "order": "concatenated"}
    assert [(found.kind, found.data["row"]) for found in results.all(job_id)] == [
        ("card", "E'"),
        ("layout", "granite_fused"),
    ]


def test_a_sighting_keeps_its_first_time_and_takes_the_last_verdict(
    results: Results, job_id: int, clock: Clock
) -> None:
    assert results.sighting("org/moe", "a" * 40) is None
    first = clock()
    results.record_sighting("org/moe", "a" * 40, "unreachable")
    clock.forward(60)
    results.record_sighting("org/moe", "a" * 40, "enqueued", job_id)
    assert results.sighting("org/moe", "a" * 40) is not None
    assert results.sighting("org/moe", "b" * 40) is None
    (sighting,) = sightings(results)
    assert (sighting.first_seen, sighting.verdict, sighting.job_id) == (first, "enqueued", job_id)


def test_every_rule_has_a_watermark_of_its_own(results: Results) -> None:
    assert results.watermark("qwen") is None
    results.set_watermark("qwen", "2026-03-01T12:00:00Z")
    results.set_watermark("all", "cursor-1")
    results.set_watermark("qwen", "2026-03-02T12:00:00Z")
    assert (results.watermark("qwen"), results.watermark("all")) == ("2026-03-02T12:00:00Z", "cursor-1")


def test_a_publication_recorded_twice_is_one_with_its_first_date(results: Results, clock: Clock) -> None:
    publish(results)
    first = clock()
    clock.forward(60)
    publish(results, target_revision="t2")
    publish(results, "8bit")
    newest, repeated = results.publications("org/moe")
    assert newest.variant == "8bit"
    assert (repeated.published_at, repeated.target_revision, repeated.bytes) == (first, "t2", 5 * 2**33)
    assert repeated.to_json()["published_at"] == "2026-03-01T12:00:00+00:00"
    assert results.publications("org/other") == []
    assert len(results.publications()) == 2


def test_audits_are_kept_newest_first_and_a_repair_reopens_the_publication(
    results: Results, job_id: int, clock: Clock
) -> None:
    publish(results)
    results.record_publication(
        source_repo="org/moe",
        source_revision="a" * 40,
        variant="8bit",
        target_repo="me/moe-8bit",
        target_revision="t1",
        bits_per_weight=8.5,
        size_bytes=1,
        report={"verdict": "approved", "versions": {"mlx-lm": "0.32.1"}},
    )
    (eight,) = [item for item in results.publications() if item.variant == "8bit"]
    assert eight.made_with == {"mlx-lm": "0.32.1"}
    said: dict[str, Any] = {"reason": "", "gates": {"values": "pass"}, "versions": {"mlx-lm": "0.32.2"}}
    results.record_audit(eight, revision="t1", verdict="approved", job_id=None, **said)
    clock.forward(5)
    made = results.record_audit(eight, revision="t2", verdict="refused", job_id=job_id, **said)
    assert audits(results, "me/moe-8bit")[0] == made
    assert [audit.target_revision for audit in audits(results)] == ["t2", "t1"]
    assert audits(results, "me/moe-4bit") == []
    by_variant = {item.variant: item for item in results.publications()}
    assert by_variant["8bit"].report["versions"] == {}
    assert by_variant["8bit"].made_with == {"mlx-lm": "0.32.1"}
    assert by_variant["4bit"].report == {"kl": 0.01}
