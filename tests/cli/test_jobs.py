"""jobs: the queue, newest first; and the commands on one job that does not exist."""

import pytest

from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import Stage
from hubbot.settings import load
from tests.cli.conftest import Shell
from tests.hub.embedded import Site


def test_jobs_are_listed_newest_first_and_by_state(hubbot: Shell, site: Site, job_id: str) -> None:
    other = str(hubbot("enqueue", "fables/Owl-8x-Mixtral", "--json").json["id"])
    hubbot("cancel", job_id)
    assert [str(job["id"]) for job in hubbot("jobs", "--json").json["jobs"]] == [other, job_id]
    cancelled = hubbot("jobs", "--state", "cancelled", "--json").json["jobs"]
    assert [str(job["id"]) for job in cancelled] == [job_id]
    table = hubbot("jobs").out
    assert "2 jobs" in table
    assert "fables/Owl-8x-Mixtral" in table


def test_jobs_show_what_they_took_and_the_longest_stage(hubbot: Shell, site: Site, job_id: str) -> None:
    with open_records(load()) as records:
        attempt = records.results.begin_attempt(int(job_id), Stage.FETCH, "mac")
        records.results.finish_attempt(attempt, "done", None)
    assert list(hubbot("jobs", "--json").json["jobs"][0]["seconds"]) == ["fetch"]
    assert "fetch 0.0" in " ".join(hubbot("jobs").out.split())


def test_jobs_need_no_hub(hubbot: Shell) -> None:
    assert hubbot("jobs", "--json").json == {"jobs": []}
    assert hubbot("jobs").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("show", "99"), 2, "WrongUsage"),
        (("retry", "99"), 2, "WrongUsage"),
        (("cancel", "99"), 2, "WrongUsage"),
        (("jobs", "--state", "sleepy"), 2, "WrongUsage"),
    ],
)
def test_what_cannot_be_done_says_why(
    hubbot: Shell, site: Site, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    ended = hubbot(*arguments, "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (code, kind)
    assert hubbot("jobs", "--json").json == {"jobs": []}


def test_the_newest_fifty_are_listed_unless_more_are_asked_for(hubbot: Shell) -> None:
    with open_records(load()) as records:
        for number in range(53):
            records.queue.enqueue(f"fables/Fox-{number}", "a" * 40, ("4bit",), "4bit", requested_by="a test")
    newest = hubbot("jobs", "--json").json["jobs"]
    assert [job["id"] for job in newest] == list(range(53, 3, -1))
    assert "newest 50 of 53 jobs" in hubbot("jobs").out
    assert [job["id"] for job in hubbot("jobs", "--limit", "2", "--json").json["jobs"]] == [53, 52]
    assert len(hubbot("jobs", "--all", "--json").json["jobs"]) == 53
    assert "53 jobs" in hubbot("jobs", "--all").out
