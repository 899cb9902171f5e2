"""What a rule lets through, what it refuses and why, and how far it has seen."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from hubbot.hub.model_lists import Listed
from hubbot.settings import WatchRule
from hubbot.steps.watch import FIRST_LOOK, OVERLAP, Watched, refuse, watch
from tests.hub.shelf import FOX, HOUR, NOW, Shelf


def rule(**fields: Any) -> WatchRule:
    return WatchRule(name="r", **fields)


def look(shelf: Shelf, watermark: datetime | None = None, own: Sequence[str] = (), **fields: Any) -> Watched:
    return watch(rule(**fields), shelf, watermark=watermark, now=NOW, own=own)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "repo", "reason"),
    [
        ({}, FOX, None),
        ({"allow": ("fables/*",)}, FOX, None),
        ({"allow": ("fables/f*",)}, FOX, "not on the allow list"),
        ({"allow": ("others/*",)}, FOX, "not on the allow list"),
        ({"deny": ("*/Fox",)}, FOX, "on the deny list"),
        ({"allow": ("fables/*",), "deny": ("*-GGUF", "*/Fox")}, FOX, "on the deny list"),
        ({"deny": ("*/Owl",)}, FOX, None),
        ({"licences": ("mit", "apache-2.0")}, FOX, None),
        ({"licences": ("mit",)}, FOX, "licence apache-2.0 is not on the list"),
        ({"licences": ("mit",)}, replace(FOX, licences=()), "licence unknown is not on the list"),
        ({}, replace(FOX, licences=()), None),
        ({"licences": ("mit", "apache-2.0")}, replace(FOX, licences=("apache-2.0", "mit")), None),
        (
            {"licences": ("mit",)},
            replace(FOX, licences=("apache-2.0", "mit")),
            "licence apache-2.0, mit is not on the list",
        ),
        ({"max_gigabytes": 3}, FOX, None),
        ({"max_gigabytes": 2.9}, FOX, "its 3.00 GB are above the limit"),
        ({"max_gigabytes": 0.1}, replace(FOX, nbytes=None), None),
        ({}, replace(FOX, tags=("mlx",)), "it is an MLX repo already"),
        ({"allow": ("*",)}, replace(FOX, id="mlx-moe/Fox"), "hubbot publishes there itself"),
        ({}, replace(FOX, id="mlx-moe-friends/Fox"), None),
    ],
)
def test_a_rule_says_why_it_does_not_want_a_repo(fields: dict[str, Any], repo: Listed, reason: str | None) -> None:
    assert refuse(rule(**fields), repo, ("mlx-moe",)) == reason


def test_every_author_is_asked_about_every_word_and_all_tags() -> None:
    shelf = Shelf(FOX)
    look(shelf, authors=("a", "b"), search=("moe", "mix"), tags=("text-generation", "moe"))
    asked = [(one["author"], one["search"]) for one in shelf.asked]
    assert asked == [("a", "moe"), ("a", "mix"), ("b", "moe"), ("b", "mix")]
    assert {one["tags"] for one in shelf.asked} == {("text-generation", "moe")}


def test_without_authors_and_words_everything_is_listed_once() -> None:
    shelf = Shelf(FOX)
    assert [seen.repo for seen in look(shelf).seen] == [FOX]
    assert shelf.asked == [{"author": None, "search": None, "tags": (), "until": NOW - FIRST_LOOK}]


def test_a_repo_that_two_words_find_is_seen_once() -> None:
    assert len(look(Shelf(FOX), search=("fox", "fables")).seen) == 1


def test_the_first_look_goes_back_a_week_and_the_next_to_the_watermark() -> None:
    old, older = replace(FOX, id="a/old", last_modified=NOW - timedelta(days=6)), NOW - timedelta(days=8)
    shelf = Shelf(FOX, old, replace(FOX, id="a/older", last_modified=older))
    assert [seen.repo.id for seen in look(shelf).seen] == ["fables/Fox", "a/old"]
    watched = look(shelf, NOW - 2 * HOUR)
    assert [seen.repo.id for seen in watched.seen] == ["fables/Fox"]
    assert shelf.asked[-1]["until"] == NOW - 2 * HOUR - OVERLAP


def test_the_watermark_is_the_newest_change_seen() -> None:
    assert look(Shelf(FOX, replace(FOX, id="a/b", last_modified=NOW - 5 * HOUR))).watermark == FOX.last_modified


def test_an_empty_look_keeps_the_watermark_and_makes_none_of_this_machines_clock() -> None:
    assert look(Shelf()).watermark is None
    assert look(Shelf(), NOW - HOUR).watermark == NOW - HOUR


def test_a_young_repo_is_deferred_and_holds_the_watermark_back() -> None:
    middle = replace(FOX, id="a/middle", last_modified=NOW - 2 * HOUR)
    old = replace(FOX, id="a/old", last_modified=NOW - 9 * HOUR)
    watched = look(Shelf(FOX, middle, old), min_age_hours=6)
    assert {seen.repo.id: seen.deferred for seen in watched.seen} == {
        "fables/Fox": True,
        "a/middle": True,
        "a/old": False,
    }
    assert watched.watermark == middle.last_modified


def test_a_deferred_repo_is_listed_again_when_it_has_come_of_age() -> None:
    shelf = Shelf(FOX)
    first = look(shelf, min_age_hours=6)
    later = watch(rule(min_age_hours=6), shelf, watermark=first.watermark, now=NOW + 6 * HOUR, own=())  # type: ignore[arg-type]
    assert [(seen.repo.id, seen.deferred) for seen in later.seen] == [("fables/Fox", False)]


def test_a_repo_that_is_not_wanted_is_not_waited_for() -> None:
    watched = look(Shelf(FOX), min_age_hours=6, deny=("*",))
    assert [(seen.refusal, seen.deferred) for seen in watched.seen] == [("on the deny list", False)]
    assert watched.watermark == FOX.last_modified


def test_an_age_of_exactly_the_limit_is_old_enough() -> None:
    assert not look(Shelf(FOX), min_age_hours=1).seen[0].deferred
