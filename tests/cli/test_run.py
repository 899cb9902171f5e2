"""watch and run: what they look at, what they leave alone, and how they are stopped."""

import os
import signal
from pathlib import Path

import pytest

from hubbot.cli.interrupts import stopping
from tests.cli.conftest import Shell
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.story.bots import in_process

RULES = """
[[watch]]
name = "fables"
authors = ["fables"]
deny = ["*/Owl-*"]
"""


@pytest.fixture
def rules(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "hubbot.toml"
    file.write_text(f'org = "{ORG}"\nvariants = ["4bit"]\n{RULES}')
    monkeypatch.setenv("HUBBOT_CONFIG", str(file))
    return file


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
    assert set(ended.json["decisions"][0]) == {"repo", "revision", "rule", "verdict", "job_id"}
    assert hubbot("watch", "--once", "--json").json["decisions"] == []
    assert "nothing new" in hubbot("watch", "--once").out
    assert len(hubbot("jobs", "--json").json["jobs"]) == 5


def test_a_dry_run_shows_the_same_and_changes_nothing(hubbot: Shell, site: Site, rules: Path) -> None:
    for _ in range(2):
        ended = hubbot("watch", "--dry-run", "--json")
        assert len(ended.json["decisions"]) == 6
        assert {decision["job_id"] for decision in ended.json["decisions"]} == {None}
    assert "fables/Owl-8x-Mixtral" in hubbot("watch", "--dry-run").out
    assert hubbot("jobs", "--json").json == {"jobs": []}


@pytest.mark.filterwarnings(LFS_WARNING)
def test_run_once_works_until_nothing_is_left(
    hubbot: Shell, site: Site, rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process(monkeypatch)
    rules.write_text(rules.read_text().replace('deny = ["*/Owl-*"]', 'allow = ["*/Fox-8x-MoE-fused", "*/Hare-*"]'))
    ended = hubbot("run", "--once", "--json")
    assert ended.code == 0
    counts = {state: count for state, count in ended.json["counts"].items() if count}
    assert counts == {"published": 1, "skipped": 1}
    assert "published" in ended.err
    listed = hubbot("published", "--json").json["published"]
    assert [item["target_repo"] for item in listed] == [f"{ORG}/Fox-8x-MoE-fused-MLX-4bit"]


def test_run_without_rules_works_on_the_queue_and_says_so(hubbot: Shell, site: Site) -> None:
    hubbot("enqueue", "fables/Hare-dense")
    ended = hubbot("run", "--once")
    assert ended.code == 0
    assert "only the queue is worked on" in ended.err
    assert ended.out.strip() == "1 skipped"


def test_the_first_signal_asks_and_the_second_stops(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(1)
        assert "goes back to the queue" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
