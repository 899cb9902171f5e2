"""pause: runners begin no stage, for a while or until told, and say so."""

from datetime import UTC, datetime, timedelta

import pytest

from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import Stage
from hubbot.settings import load
from tests.cli.conftest import Shell


def test_a_pause_is_noted_for_every_runner_or_for_one(hubbot: Shell) -> None:
    assert "every runner: no stage is begun until `hubbot resume`" in hubbot("pause").out
    paused = hubbot("pause", "--until", "2h", "--runner", "mac", "--json").json
    assert paused["runner"] == "mac"
    left = datetime.fromisoformat(paused["next_probe"]) - datetime.now(UTC)
    assert left == pytest.approx(timedelta(hours=2), abs=timedelta(minutes=1))
    with open_records(load()) as records:
        assert {one.runner: set(one.stages) for one in records.outages.all()} == {
            "*": set(Stage),
            "mac": set(Stage),
        }


def test_a_drain_begins_no_new_job(hubbot: Shell) -> None:
    assert "no new job is begun" in hubbot("pause", "--drain").out
    with open_records(load()) as records:
        assert [one.stages for one in records.outages.all()] == [(Stage.INSPECT,)]


def test_a_moment_that_is_none_is_refused(hubbot: Shell) -> None:
    ended = hubbot("pause", "--until", "whenever", "--json")
    assert (ended.code, ended.json["error"]["hint"]) == (2, "18:30, 90m, 2h, 3d or 2026-12-01T08:00")


@pytest.mark.usefixtures("rules")
def test_a_paused_bot_works_on_nothing_and_a_resumed_one_does(hubbot: Shell, job_id: str) -> None:
    hubbot("pause")
    assert hubbot("run", "--once", "--json").json["counts"]["waiting"] >= 1
    assert hubbot("show", job_id, "--json").json["stage"] == "inspect"
