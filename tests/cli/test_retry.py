"""retry: a cancelled job waits again."""

from tests.cli.conftest import Shell


def test_a_cancelled_job_is_retried(hubbot: Shell, job_id: str) -> None:
    hubbot("cancel", job_id)
    assert hubbot("retry", job_id, "--json").json["state"] == "waiting"
    assert "is waiting at inspect" in hubbot("retry", job_id).out


def test_jobs_are_retried_by_state_and_pattern(hubbot: Shell, job_id: str) -> None:
    hubbot("cancel", job_id)
    tried = hubbot("retry", "--state", "cancelled", "--match", "fables/*", "--dry-run", "--json").json
    assert [job["state"] for job in tried["jobs"]] == ["cancelled"]
    assert hubbot("retry", "--match", "fables/*").out.strip() == "0 jobs changed"
    retried = hubbot("retry", "--state", "cancelled", "--match", "fables/*", "--json").json
    assert [(str(job["id"]), job["state"]) for job in retried["jobs"]] == [(job_id, "waiting")]


def test_naming_nothing_or_an_unknown_state_is_refused(hubbot: Shell) -> None:
    assert hubbot("retry", "--json").json["error"]["message"] == "no job is named"
    assert "there is no state 'broken'" in hubbot("retry", "--state", "broken", "--json").json["error"]["message"]
