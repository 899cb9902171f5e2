"""watch: what it looks at, what it enqueues once, what it leaves alone."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.hub.embedded import Site


def test_without_rules_watch_lists_nothing_and_says_so(hubbot: Shell, site: Site) -> None:
    site.faults.clear()
    ended = hubbot("watch", "--once", "--json")
    assert (ended.code, ended.json) == (0, {"rules": 0, "decisions": []})
    assert "no watch rules are set" in ended.err
    assert site.faults.count() == 0


def test_watch_enqueues_what_is_wanted_once(hubbot: Shell, site: Site, rules: Path) -> None:
    ended = hubbot("watch", "--once", "--json")
    assert ended.code == 0
    assert ended.json["rules"] == 1
    verdicts = {decision["repo"]: decision["verdict"] for decision in ended.json["decisions"]}
    assert verdicts.pop("fables/Owl-8x-Mixtral") == "on the deny list"
    assert set(verdicts.values()) == {"enqueued"}
    assert len(verdicts) == 5
    assert set(ended.json["decisions"][0]) == {"repo", "revision", "rule", "verdict", "job_id", "priority"}
    assert hubbot("watch", "--once", "--json").json["decisions"] == []
    assert "nothing new" in hubbot("watch", "--once").out
    repos = {job["repo"] for job in hubbot("jobs", "--json").json["jobs"]}
    assert verdicts.keys() <= repos
    assert "fables/Owl-8x-Mixtral" not in repos


def test_a_dry_run_shows_the_same_and_changes_nothing(hubbot: Shell, site: Site, rules: Path) -> None:
    for _ in range(2):
        ended = hubbot("watch", "--dry-run", "--json")
        assert len(ended.json["decisions"]) == 6
        assert {decision["job_id"] for decision in ended.json["decisions"]} == {None}
    assert "fables/Owl-8x-Mixtral" in hubbot("watch", "--dry-run").out
    assert hubbot("jobs", "--json").json == {"jobs": []}


@pytest.mark.parametrize("turn", [1, 2])
def test_a_test_finds_the_demos_repos_alone_whatever_ran_before(
    turn: int, hubbot: Shell, site: Site, rules: Path, fox: Path
) -> None:
    assert len(site.repos) == 6
    site.embedded.seed(f"fables/Left-behind-{turn}", fox)
    looked_at = {found["repo"] for found in hubbot("watch", "--dry-run", "--json").json["decisions"]}
    assert f"fables/Left-behind-{turn}" in looked_at
    assert len(looked_at) == 7


def test_what_was_decided_about_each_repo_can_be_asked_for_later(hubbot: Shell, site: Site, rules: Path) -> None:
    hubbot("watch", "--once")
    ended = hubbot("watch", "--seen", "fables/*", "--json")
    seen = {one["repo"]: one["verdict"] for one in ended.json["seen"]}
    assert (len(seen), seen["fables/Owl-8x-Mixtral"]) == (6, "on the deny list")
    assert len(hubbot("watch", "--seen", "fables/*", "--limit", "2", "--json").json["seen"]) == 2
    assert "on the deny list" in hubbot("watch", "--seen", "fables/Owl*").out
    assert hubbot("watch", "--seen", "fables/Owl_8x%", "--json").json == {"seen": []}
