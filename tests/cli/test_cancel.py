"""cancel: a waiting job stops at once, a running one is asked to."""

from hubbot.jobs.open_records import open_records
from hubbot.settings import load
from tests.cli.conftest import Shell


def test_a_job_is_cancelled_and_not_twice(hubbot: Shell, job_id: str) -> None:
    assert hubbot("cancel", job_id, "--json").json["state"] == "cancelled"
    again = hubbot("cancel", job_id, "--json")
    assert (again.code, again.json["error"]["kind"]) == (2, "WrongUsage")


def test_a_running_job_is_only_asked_to_stop(hubbot: Shell, job_id: str) -> None:
    with open_records(load()) as records:
        assert records.queue.claim("another", 60) is not None
    ended = hubbot("cancel", job_id)
    assert "is running at inspect, asked to stop" in ended.out


def test_jobs_are_cancelled_by_pattern_and_by_several_numbers(hubbot: Shell, job_id: str) -> None:
    assert hubbot("cancel", "--match", "others/*").out.strip() == "0 jobs changed"
    assert "1 jobs would be changed" in hubbot("cancel", "--match", "fables/*", "--dry-run").out
    ended = hubbot("cancel", job_id, "999", "--json").json
    assert [(str(job["id"]), job["state"]) for job in ended["jobs"]] == [(job_id, "cancelled")]
