"""Metrics: Prometheus' text, and whether the database answers."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from hubbot.errors import TryLater
from hubbot.jobs.pauses import pause
from hubbot.store.queue import Queue
from hubbot.store.records import Machine
from tests.web.conftest import TOKEN, Bench

BEARER = {"authorization": f"Bearer {TOKEN}"}
LINE = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+(\{\w+="([^"\\\n]|\\.)*"(,\w+="([^"\\\n]|\\.)*")*\})? [0-9.e+-]+)')


def test_the_figures_are_those_of_the_database(bench: Bench) -> None:
    bench.job("fables/Waiting")
    running = bench.job("fables/Running")
    bench.records.queue.claim('a "runner"\\\n', 60)
    bench.publish("fables/Fox", "4bit", 40)
    bench.publish("fables/Fox", "8bit", 80)
    first = next(job for job in bench.records.listings.running())
    bench.records.results.put(first.id, "progress", {"stage": "inspect", "done": 1, "total": 4, "what": "x"})
    answer = bench.browser().get("/metrics", headers=BEARER)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    for said in (
        'hubbot_jobs{state="waiting"} 1', 'hubbot_jobs{state="running"} 1', 'hubbot_jobs{state="failed"} 0',
        "hubbot_published_models 1", "hubbot_published_repos 2", "hubbot_published_bytes 120",
        f'hubbot_stage_progress_ratio{{job="{first.id}"}} 0.25',
        'hubbot_runner_alive{runner="a \\"runner\\"\\\\\\n"} 1',
    ):  # fmt: skip
        assert said in lines
    assert running.id != first.id


def test_outages_pauses_and_machines_are_figures_too(bench: Bench) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    pause(bench.records.outages, now)
    bench.records.workers.put(
        Machine(runner="mac", memory_bytes=1, disk_bytes=1, device="Darwin arm64", started_at=now, seen_at=now)
    )
    lines = bench.browser().get("/metrics", headers=BEARER).text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert 'hubbot_outage{runner="*",door="pause"} 1' in lines
    assert f'hubbot_machine_seen_timestamp_seconds{{runner="mac"}} {now.timestamp()}' in lines


def test_healthz_says_whether_the_database_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.browser(open_to_all=False).get("/healthz").text == "ok\n"

    def refuse(_queue: Queue) -> None:
        raise TryLater("the database does not answer")

    broken: Callable[[Queue], None] = refuse
    monkeypatch.setattr(Queue, "counts", broken)
    answer = bench.browser().get("/healthz")
    assert (answer.status_code, answer.text) == (503, "the database does not answer\n")
    assert bench.browser().get("/").status_code == 503
