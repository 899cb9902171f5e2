"""retry: a cancelled job waits again."""

from tests.cli.conftest import Shell


def test_a_cancelled_job_is_retried(hubbot: Shell, job_id: str) -> None:
    hubbot("cancel", job_id)
    assert hubbot("retry", job_id, "--json").json["state"] == "waiting"
    assert "is waiting at inspect" in hubbot("retry", job_id).out
