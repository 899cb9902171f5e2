"""enqueue, jobs, show, retry, cancel: the queue from the command line."""

from pathlib import Path

import pytest

from hubbot.jobs.bot import open_records
from hubbot.lifecycle import State
from hubbot.settings import load
from tests.cli.conftest import Shell
from tests.hub.embedded import Site

FOX = "fables/Fox-8x-MoE-fused"


@pytest.fixture
def job_id(hubbot: Shell, site: Site) -> str:
    return str(hubbot("enqueue", FOX, "--variant", "4bit", "--json").json["id"])


def test_a_repo_is_enqueued_at_the_commit_it_has_now(hubbot: Shell, site: Site) -> None:
    ended = hubbot("enqueue", FOX, "-v", "4bit", "-v", "8bit", "--priority", "7", "--json")
    assert ended.code == 0
    job = ended.json
    assert job["created"] is True
    assert (job["repo"], job["revision"]) == (FOX, site.client().head(FOX))
    assert (job["variants"], job["priority"], job["state"], job["stage"]) == (
        ["4bit", "8bit"],
        7,
        "waiting",
        "inspect",
    )
    assert "lease" not in job


def test_said_twice_it_is_one_job(hubbot: Shell, site: Site) -> None:
    first, second = (hubbot("enqueue", FOX, "--json").json for _ in range(2))
    assert (first["created"], second["created"]) == (True, False)
    assert first["id"] == second["id"]
    turned = [
        hubbot("enqueue", FOX, "-v", a, "-v", b, "--json").json["id"]
        for a, b in (("4bit", "8bit"), ("8bit", "4bit"))
    ]
    assert turned[0] == turned[1] != first["id"]
    assert len(hubbot("jobs", "--json").json["jobs"]) == 2


def test_a_branch_and_its_commit_are_the_same_job(hubbot: Shell, site: Site) -> None:
    sha = site.client().head(FOX)
    ids = {hubbot("enqueue", FOX, "--revision", revision, "--json").json["id"] for revision in ("main", sha)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("enqueue", "fables/nothing"), 3, "RepoMissing"),
        (("enqueue", FOX, "--revision", "f" * 40), 3, "RepoMissing"),
        (("enqueue", FOX, "-v", "9bit"), 2, "WrongUsage"),
        (("enqueue", "not a repo id"), 2, "WrongUsage"),
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


def test_jobs_are_listed_newest_first_and_by_state(hubbot: Shell, site: Site, job_id: str) -> None:
    other = str(hubbot("enqueue", "fables/Owl-8x-Mixtral", "--json").json["id"])
    hubbot("cancel", job_id)
    assert [str(job["id"]) for job in hubbot("jobs", "--json").json["jobs"]] == [other, job_id]
    cancelled = hubbot("jobs", "--state", "cancelled", "--json").json["jobs"]
    assert [str(job["id"]) for job in cancelled] == [job_id]
    table = hubbot("jobs").out
    assert "2 jobs" in table
    assert "fables/Owl-8x-Mixtral" in table


def test_a_job_is_cancelled_and_retried_and_not_twice(hubbot: Shell, job_id: str) -> None:
    assert hubbot("cancel", job_id, "--json").json["state"] == "cancelled"
    again = hubbot("cancel", job_id, "--json")
    assert (again.code, again.json["error"]["kind"]) == (2, "WrongUsage")
    assert hubbot("retry", job_id, "--json").json["state"] == "waiting"
    assert "is waiting at inspect" in hubbot("retry", job_id).out


def test_a_running_job_is_only_asked_to_stop(hubbot: Shell, job_id: str) -> None:
    with open_records(load()) as records:
        assert records.queue.claim("another", 60) is not None
    ended = hubbot("cancel", job_id)
    assert "is running at inspect, asked to stop" in ended.out


def test_show_tells_the_whole_story(hubbot: Shell, site: Site, machine: Path) -> None:
    hubbot("enqueue", "fables/Hare-dense", "--json")
    assert hubbot("run", "--once", "--json").code == 0
    record = hubbot("show", "1", "--json").json
    assert (record["state"], record["error"]["kind"]) == (State.SKIPPED, "NotMixtureOfExperts")
    assert [(entry["stage"], entry["outcome"]) for entry in record["history"]] == [
        ("inspect", "done"),
        ("classify", "skipped"),
    ]
    assert set(record["history"][0]) == {"stage", "started_at", "ended_at", "outcome", "error"}
    assert [result["kind"] for result in record["results"]] == ["checkpoint"]
    page = hubbot("show", "1").out
    for word in ("fables/Hare-dense", "skipped at stage classify", "NotMixtureOfExperts", "history"):
        assert word in page


def test_show_calls_a_layout_of_an_earlier_version_by_its_word(hubbot: Shell, job_id: str) -> None:
    with open_records(load()) as records:
        records.results.put(int(job_id), "layout", {"row": "E", "naming": "stacked fused"})
    (found,) = hubbot("show", job_id, "--json").json["results"]
    assert found["data"] == {"row": "stacked_fused", "naming": "stacked fused"}


def test_jobs_need_no_hub(hubbot: Shell) -> None:
    assert hubbot("jobs", "--json").json == {"jobs": []}
    assert hubbot("jobs").code == 0
