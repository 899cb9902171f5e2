"""status: one look at the whole bot, also while it runs and while it is paused."""

from hubbot.jobs.lock import runner_lock
from hubbot.jobs.open_records import open_records
from hubbot.settings import load
from tests.cli.conftest import Shell


def test_an_empty_bot_has_a_status(hubbot: Shell) -> None:
    found = hubbot("status", "--json").json
    assert (found["at_work"], found["running"], found["pauses"]) == (False, [], [])
    assert "not running here" in hubbot("status").out


def test_the_status_tells_what_runs_with_its_progress_what_waits_and_what_is_paused(
    hubbot: Shell, job_id: str
) -> None:
    assert [job["id"] for job in hubbot("status", "--json").json["next"]] == [int(job_id)]
    hubbot("pause", "--drain")
    chosen = load()
    with open_records(chosen) as records, runner_lock(chosen.data_dir / f"{chosen.runner}.lock"):
        job = records.queue.claim(chosen.runner, 60)
        assert job is not None
        progress = {"stage": "inspect", "done": 1, "total": 4, "what": "a [red]shard"}
        records.results.put(job.id, "progress", progress)
        found = hubbot("status", "--json").json
        shown = hubbot("status").out
    (running,) = found["running"]
    assert (running["id"], running["percent"], running["runner"]) == (job.id, 25, chosen.runner)
    assert found["at_work"]
    assert [one["door"] for one in found["pauses"]] == ["drain"]
    for word in ("at work", "drain", "a [red]shard", job.repo):
        assert word in shown
    assert "at_work" in hubbot("status", "--json").out
