"""The bot put together: one look and all the work, one runner of a name, rescue, pruning."""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hubbot.catalogue import runtimes
from hubbot.errors import NoRuntime, WrongUsage
from hubbot.jobs import bot as bots
from hubbot.jobs.bot import Bot
from hubbot.jobs.lock import runner_lock
from hubbot.jobs.open_records import open_records, utc_now
from hubbot.jobs.pipeline import recipe_key, runtime_key
from hubbot.lifecycle import Refused, State, advance
from hubbot.settings import Settings, WatchRule
from tests.hub.embedded import Site, calm, running
from tests.store.recorded import sightings
from tests.story.bots import bot, in_process, settings

DENSE = {"config.json": b'{"model_type": "qwen3"}', "model.safetensors": b"\x02\0\0\0\0\0\0\0{}"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    in_process(monkeypatch)
    with running(tmp_path / "hub") as started:
        yield started


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(tmp_path / "data", watch=(WatchRule(name="all", authors=("fables",)),))


@pytest.fixture
def opened(site: Site, chosen: Settings) -> Iterator[Bot]:
    with bot(site.client(), chosen) as made:
        yield made


def test_one_run_looks_enqueues_and_works_until_nothing_is_due(site: Site, opened: Bot, tmp_path: Path) -> None:
    repos = {site.seed(DENSE, tmp_path / "seed") for _ in range(3)}
    opened.run_once(threading.Event(), 0)
    assert {job.repo: job.state for job in opened.queue.jobs()} == dict.fromkeys(repos, State.SKIPPED)
    assert {sighting.verdict for sighting in sightings(opened.results)} == {"enqueued"}
    opened.run_once(threading.Event(), 0)
    assert len(opened.queue.jobs()) == 3


def test_a_second_runner_of_the_same_name_is_refused(opened: Bot, chosen: Settings) -> None:
    with runner_lock(chosen.data_dir / "tester.lock"), pytest.raises(WrongUsage, match="at work already"):
        opened.run_once(threading.Event(), 0)
    opened.run_once(threading.Event(), 0)


def test_a_set_stop_ends_the_run_before_any_job(site: Site, opened: Bot, tmp_path: Path) -> None:
    site.seed(DENSE, tmp_path / "seed")
    stop = threading.Event()
    stop.set()
    opened.run_once(stop, 0)
    assert opened.queue.jobs() == []


def test_running_for_ever_ends_when_it_is_stopped(site: Site, opened: Bot, tmp_path: Path) -> None:
    repo = site.seed(DENSE, tmp_path / "seed")
    stop = threading.Event()
    runner = threading.Thread(target=opened.run_forever, args=(stop,))
    runner.start()
    try:
        _wait_for(lambda: [job.state for job in opened.queue.jobs() if job.repo == repo] == [State.SKIPPED])
    finally:
        stop.set()
        runner.join(10)
    assert not runner.is_alive()


def _wait_for(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    while not condition():
        assert datetime.now(UTC) < deadline, "it never happened"
        threading.Event().wait(0.05)


def test_what_parked_for_want_of_a_runtime_is_tried_under_a_new_one(
    opened: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hubbot")
    job, _ = opened.queue.enqueue("fables/a", "a" * 40, ("4bit",), "4bit", requested_by="test")
    claimed = opened.queue.claim("tester", 60)
    assert claimed is not None
    parked = advance(
        claimed, Refused(error=NoRuntime("none"), runtime=runtime_key()), utc_now(), opened.worker.retry
    )
    assert opened.queue.apply(claimed, parked)
    opened.run_once(threading.Event(), 0)
    assert opened.queue.job(job.id).state is State.PARKED
    monkeypatch.setattr(bots, "runtime_key", lambda: "mlx-lm 99")
    opened.run_once(threading.Event(), 0)
    assert opened.queue.job(job.id).state is State.SKIPPED  # it was tried: the repo does not exist
    opened.run_once(threading.Event(), 0)
    told = [record.getMessage() for record in caplog.records if "found no runtime" in record.getMessage()]
    assert told == ["1 jobs that found no runtime are tried again with mlx-lm 99"]


@pytest.mark.parametrize("package", ["mlx-lm", "mlx", "transformers"])
def test_a_new_version_of_any_of_the_three_is_a_new_runtime(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, version = runtime_key(), runtimes.version
    monkeypatch.setattr(runtimes, "version", lambda name: "99" if name == package else version(name))
    assert runtime_key() != before
    assert f"{package} 99" in runtime_key()


def test_old_work_folders_of_ended_jobs_are_pruned_and_no_others(opened: Bot, site: Site, tmp_path: Path) -> None:
    ended = site.seed(DENSE, tmp_path / "seed")
    opened.run_once(threading.Event(), 0)
    waiting, _ = opened.queue.enqueue("fables/w", "a" * 40, ("4bit",), recipe_key(("4bit",)), requested_by="test")
    (done,) = [job for job in opened.queue.jobs() if job.repo == ended]
    folders = {job.id: opened.pipeline.workspace(job).root for job in (waiting, done)}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    opened._prune()
    assert folders[done.id].exists()
    later = utc_now() + timedelta(days=opened.settings.keep_days, hours=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bots, "utc_now", lambda: later)
        opened._prune()
    assert not folders[done.id].exists()
    assert folders[waiting.id].exists()


def test_without_rules_the_schedule_watches_nothing(site: Site, tmp_path: Path) -> None:
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        site.faults.clear()
        opened._watch(threading.Event())
    assert site.faults.count() == 0


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_is_removed_or_replaced_stops_the_bot_and_is_told(
    site: Site, opened: Bot, chosen: Settings, *, replaced: bool
) -> None:
    stop, ended = threading.Event(), []

    def run() -> None:
        with pytest.raises(WrongUsage, match="removed or replaced while it was in use"):
            opened.run_forever(stop)
        ended.append(True)

    running_bot = threading.Thread(target=run)
    running_bot.start()
    while not opened.records.workers.all():
        time.sleep(0.02)
    file = chosen.data_dir / "hubbot.db"
    file.rename(file.with_name("away.db"))
    if replaced:
        file.write_bytes(file.with_name("away.db").read_bytes())
    with pytest.raises(WrongUsage, match="removed or replaced"):
        opened._rescue(stop)
    running_bot.join(30)
    assert ended


def test_a_new_database_beside_the_work_of_another_is_told(
    opened: Bot, chosen: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (chosen.data_dir / "work" / "job-7").mkdir(parents=True)
    opened.run_once(threading.Event(), 0)
    assert "the database is new, but work/ holds 1 jobs" in caplog.text


def test_the_rescue_leaves_the_runners_own_jobs_alone(opened: Bot) -> None:
    for number in range(2):
        opened.queue.enqueue(f"fables/{number}", "a" * 40, ("4bit",), "4bit", requested_by="test")
    mine, other = opened.queue.claim("tester", -60), opened.queue.claim("another", -60)
    assert mine is not None
    assert other is not None
    opened._rescue(threading.Event())
    assert opened.queue.job(other.id).state is State.RUNNING, "one look tells an expired lease, not a dead runner"
    later = replace(opened, takeovers=replace(opened.takeovers, silent_seconds=0.0))
    later._rescue(threading.Event())
    assert opened.queue.job(mine.id).state is State.RUNNING
    assert opened.queue.job(other.id).state is State.WAITING


def test_records_open_without_a_hub_and_bring_the_database_up_to_date(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "deep" / "data")
    with open_records(chosen) as records:
        assert records.queue.jobs() == []
    assert (chosen.data_dir / "hubbot.db").stat().st_size > 0
