"""Watching writes down what it saw and enqueues what is wanted, once for every revision."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hubbot.hub.model_lists import Listed
from hubbot.jobs.watch_rounds import DEFERRED, Decision, Watching, watermark_key
from hubbot.lifecycle import State
from hubbot.settings import Settings, WatchRule
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests.hub.shelf import FOX, HOUR, NOW, Shelf
from tests.store.conftest import Clock
from tests.store.recorded import sightings

OWL = replace(FOX, id="fables/Owl", revision="b" * 40, last_modified=NOW - 3 * HOUR)


class Watcher:
    """Watching under changing rules over one database."""

    def __init__(self, queue: Queue, results: Results, data_dir: Path) -> None:
        self.queue, self.results, self.data_dir = queue, results, data_dir
        self.now = NOW

    def look(self, *repos: Listed, dry_run: bool = False, **fields: Any) -> list[Decision]:
        rules = fields.pop("rules", ({},))
        watch = tuple(WatchRule(**{"name": f"rule-{number}", **rule}) for number, rule in enumerate(rules))
        settings = Settings(data_dir=self.data_dir, org="mlx-moe", watch=watch, **fields)
        watching = Watching(
            settings=settings,
            hub=Shelf(*repos),  # type: ignore[arg-type]
            queue=self.queue,
            results=self.results,
            clock=lambda: self.now,
        )
        return watching.look(dry_run=dry_run)

    def watermark(self, rule: dict[str, Any]) -> str | None:
        return self.results.watermark(watermark_key(WatchRule(**rule)))


@pytest.fixture
def watcher(queue: Queue, results: Results, tmp_path: Path) -> Watcher:
    return Watcher(queue, results, tmp_path)


def told(decisions: list[Decision]) -> dict[str, str]:
    return {decision.repo: decision.verdict for decision in decisions}


def test_what_many_people_want_goes_first_and_what_people_ask_for_by_hand_before_it(watcher: Watcher) -> None:
    wanted = replace(OWL, likes=900, downloads=200_000)
    famous = replace(FOX, id="fables/Elk", revision="c" * 40, downloads=3_000_000, trending=9)
    decisions = watcher.look(FOX, wanted, famous)
    assert {decision.repo: decision.priority for decision in decisions} == {
        "fables/Fox": -3,
        "fables/Owl": -1,
        "fables/Elk": 0,
    }
    assert {job.repo: job.priority for job in watcher.queue.jobs()} == {
        "fables/Fox": -3,
        "fables/Owl": -1,
        "fables/Elk": 0,
    }


def test_one_owner_gets_its_share_of_a_day_and_the_most_wanted_go_first(watcher: Watcher, clock: Clock) -> None:
    herd = [
        replace(FOX, id=f"fables/Elk-{number}", revision=f"{number}" * 40, likes=number, last_modified=NOW - HOUR)
        for number in range(1, 5)
    ]
    other = replace(OWL, id="others/Owl", last_modified=NOW - 2 * HOUR)
    rule = {"max_per_owner": 2}
    first = told(watcher.look(*herd, other, rules=(rule,)))
    held = "deferred: fables has had its 2 of 24 hours under rule rule-0"
    assert first == {
        "fables/Elk-4": "enqueued",
        "fables/Elk-3": "enqueued",
        "fables/Elk-2": held,
        "fables/Elk-1": held,
        "others/Owl": "enqueued",
    }
    assert watcher.look(*herd, other, rules=(rule,)) == [], "what waits is told once"
    clock.now += timedelta(hours=25)
    again = told(watcher.look(*herd, other, rules=(rule,)))
    assert again == {"fables/Elk-2": "enqueued", "fables/Elk-1": "enqueued"}


def test_watching_leaves_half_of_the_quota_to_fetching_and_publishing(watcher: Watcher) -> None:
    shelf = Shelf(FOX)
    settings = Settings(data_dir=watcher.data_dir, org="mlx-moe", watch=(WatchRule(name="all"),))
    watching = Watching(
        settings=settings,
        hub=shelf,  # type: ignore[arg-type]
        queue=watcher.queue,
        results=watcher.results,
        clock=lambda: NOW,
    )
    watching.look(dry_run=True)
    assert shelf.asked[0] == {"share": 0.5}


def test_what_is_wanted_becomes_a_job_and_what_is_not_is_noted_with_its_reason(watcher: Watcher) -> None:
    decisions = watcher.look(FOX, OWL, rules=({"deny": ("*/Owl",)},), variants=("4bit", "bf16"))
    assert told(decisions) == {"fables/Fox": "enqueued", "fables/Owl": "on the deny list"}
    (job,) = watcher.queue.jobs()
    assert (job.repo, job.revision, job.variants) == (FOX.id, FOX.revision, ("4bit", "bf16"))
    assert (job.state, job.requested_by) == (State.WAITING, "rule rule-0")
    assert {(s.repo, s.verdict, s.job_id) for s in sightings(watcher.results)} == {
        ("fables/Fox", "enqueued", job.id),
        ("fables/Owl", "on the deny list", None),
    }


def test_the_same_revision_is_decided_once(watcher: Watcher) -> None:
    assert len(watcher.look(FOX)) == 1
    assert watcher.look(FOX) == []
    assert watcher.look(replace(FOX, last_modified=NOW)) == []
    assert len(watcher.queue.jobs()) == 1


def test_a_new_revision_is_a_new_job(watcher: Watcher) -> None:
    watcher.look(FOX)
    decisions = watcher.look(replace(FOX, revision="c" * 40, last_modified=NOW))
    assert told(decisions) == {"fables/Fox": "enqueued"}
    assert {job.revision for job in watcher.queue.jobs()} == {FOX.revision, "c" * 40}


def test_two_rules_that_want_the_same_repo_make_one_job(watcher: Watcher) -> None:
    decisions = watcher.look(FOX, rules=({}, {"authors": ("fables",)}))
    assert [decision.rule for decision in decisions] == ["rule-0"]
    assert len(watcher.queue.jobs()) == 1


def test_a_repo_that_one_rule_refuses_is_still_another_rules(watcher: Watcher) -> None:
    watcher.look(FOX, rules=({"deny": ("fables/*",)}, {"authors": ("fables",)}))
    assert [job.requested_by for job in watcher.queue.jobs()] == ["rule rule-1"]


def test_a_dry_run_tells_the_same_and_changes_nothing(watcher: Watcher) -> None:
    decisions = watcher.look(FOX, OWL, dry_run=True, rules=({"deny": ("*/Owl",)},))
    assert told(decisions) == {"fables/Fox": "enqueued", "fables/Owl": "on the deny list"}
    assert {decision.job_id for decision in decisions} == {None}
    assert watcher.queue.jobs() == []
    assert sightings(watcher.results) == []
    assert watcher.watermark({"name": "rule-0"}) is None
    assert len(watcher.look(FOX, OWL)) == 2


def test_without_rules_nothing_is_listed(watcher: Watcher) -> None:
    assert watcher.look(FOX, rules=()) == []
    assert watcher.queue.jobs() == []


def test_hubbots_own_repos_and_mlx_repos_are_not_enqueued(watcher: Watcher) -> None:
    decisions = watcher.look(replace(FOX, id="mlx-moe/Fox"), replace(OWL, tags=("mlx", "moe")))
    assert told(decisions) == {
        "mlx-moe/Fox": "hubbot publishes there itself",
        "fables/Owl": "it is an MLX repo already",
    }
    assert watcher.queue.jobs() == []


def test_a_young_repo_is_left_for_a_later_look(watcher: Watcher) -> None:
    rules = ({"min_age_hours": 6},)
    assert told(watcher.look(FOX, rules=rules)) == {"fables/Fox": DEFERRED}
    assert [(seen.verdict, seen.job_id) for seen in sightings(watcher.results)] == [(DEFERRED, None)]
    # Said once; and a rule that wants it now does not wait for the other.
    assert watcher.look(FOX, rules=rules) == []
    watcher.now += 5 * HOUR
    assert told(watcher.look(FOX, rules=rules)) == {"fables/Fox": "enqueued"}


def test_a_rule_that_wants_a_repo_at_once_goes_before_one_that_waits(watcher: Watcher) -> None:
    rules: tuple[dict[str, Any], ...] = ({"deny": ("*/Fox",)}, {"min_age_hours": 6}, {})
    assert told(watcher.look(FOX, rules=rules[:2])) == {"fables/Fox": DEFERRED}
    assert told(watcher.look(FOX, rules=rules)) == {"fables/Fox": "enqueued"}


def test_every_rule_remembers_how_far_it_has_seen(watcher: Watcher) -> None:
    watcher.look(FOX, OWL, rules=({}, {"authors": ("nobody",)}))
    assert watcher.watermark({"name": "rule-0"}) == FOX.last_modified.isoformat()
    assert watcher.watermark({"name": "rule-1", "authors": ("nobody",)}) is None
    watcher.now += HOUR
    older = replace(OWL, id="fables/Hare", last_modified=NOW - 2 * HOUR)
    assert watcher.look(FOX, older) == []


def test_a_repo_that_was_enqueued_by_hand_stays_one_job(watcher: Watcher) -> None:
    by_hand, _ = watcher.queue.enqueue(FOX.id, FOX.revision, ("4bit",), "4bit", requested_by="enqueue")
    (decision,) = watcher.look(FOX, variants=("4bit",))
    assert decision.job_id == by_hand.id
    assert watcher.queue.job(by_hand.id).requested_by == "enqueue"


@pytest.mark.parametrize("days", [-400, -2, 2, 400])
def test_an_empty_look_under_a_wrong_clock_hides_nothing_that_comes_later(watcher: Watcher, days: int) -> None:
    watcher.now = NOW + timedelta(days=days)
    watcher.look()
    watcher.now = NOW
    assert told(watcher.look(FOX)) == {"fables/Fox": "enqueued"}


def test_a_watermark_of_a_wrong_clock_is_not_believed(watcher: Watcher) -> None:
    rule = WatchRule(name="rule-0")
    watcher.results.set_watermark(watermark_key(rule), (NOW + timedelta(days=400)).isoformat())
    assert told(watcher.look(FOX)) == {"fables/Fox": "enqueued"}
    assert watcher.watermark({"name": "rule-0"}) == FOX.last_modified.isoformat()
