"""A dashboard over a database of its own, a clock that stands still, and a browser that knows no JavaScript."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from httpx2 import Response
from starlette.testclient import TestClient

from hubbot.errors import HubbotError, RepoMissing
from hubbot.jobs.open_records import Records
from hubbot.lifecycle import Job, Refused, advance
from hubbot.settings import Settings
from hubbot.store.database import open_engine, upgrade
from hubbot.store.listings import Listings
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from hubbot.store.workers import Workers
from hubbot.web.dashboard import application
from hubbot.web.site import LOOPBACK_NAMES, Site

TOKEN = "t" * 43
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Bench:
    """The site, and how a test fills it."""

    site: Site
    records: Records
    asked: list[tuple[str, str | None, tuple[str, ...], int]] = field(default_factory=list)

    def browser(self, **changes: Any) -> TestClient:
        app = application(replace(self.site, **changes))
        return TestClient(app, base_url="http://localhost:8765", follow_redirects=False)

    def job(self, repo: str = "fables/Fox", variants: tuple[str, ...] = ("4bit",)) -> Job:
        return self.records.queue.enqueue(repo, "a" * 40, variants, "+".join(variants), requested_by="a test")[0]

    def refuse(self, error: HubbotError) -> Job:
        job = self.records.queue.claim("runner", 60)
        assert job is not None
        attempt = self.records.results.begin_attempt(job.id, job.stage, "runner")
        after = advance(job, Refused(error=error), NOW, lambda _attempts, _error: timedelta(seconds=60))
        self.records.results.finish_attempt(attempt, after.state.value, error.to_json())
        assert self.records.queue.apply(job, after)
        return after

    def publish(self, repo: str, variant: str, size: int = 10, **facts: Any) -> None:
        name = repo.partition("/")[2]
        self.records.results.record_publication(
            source_repo=repo,
            source_revision="a" * 40,
            variant=variant,
            target_repo=f"mlx/{name}-MLX-{variant}",
            target_revision="b" * 40,
            bits_per_weight=4.5,
            size_bytes=size,
            report=facts.pop(
                "report",
                {
                    "verdict": "approved",
                    "gates": {"structure": "pass", "values": "pass"},
                    "url": f"https://hub.example/mlx/{name}-MLX-{variant}",
                    "versions": {"hubbot": "1.0"},
                },
            ),
            **facts,
        )


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def bench(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("HUBBOT_CONFIG", "")
    records = Records(
        queue=Queue(engine, lambda: NOW),
        results=Results(engine, lambda: NOW),
        listings=Listings(engine),
        outages=Outages(engine),
        check=lambda: None,
        check_place=lambda: None,
        workers=Workers(engine),
    )
    asked: list[tuple[str, str | None, tuple[str, ...], int]] = []

    def enqueue(repo: str, revision: str | None, variants: tuple[str, ...], priority: int) -> Job:
        asked.append((repo, revision, variants, priority))
        if repo == "fables/Missing":
            raise RepoMissing("the repo does not exist", where=repo)
        return records.queue.enqueue(repo, "a" * 40, variants, "key", requested_by="dashboard")[0]

    site = Site(
        settings=Settings(data_dir=tmp_path, org="mlx"),
        records=records,
        enqueue=enqueue,
        token=TOKEN,
        hosts=LOOPBACK_NAMES,
        open_to_all=True,
        clock=lambda: NOW,
    )
    return Bench(site=site, records=records, asked=asked)


@pytest.fixture
def browser(bench: Bench) -> TestClient:
    return bench.browser()


def send(browser: TestClient, path: str, *, page: str = "/", **fields: Any) -> Response:
    """Load a page and send a form from it."""
    found = re.search(r'name="form_token" value="(\w+)"', browser.get(page).text)
    assert found is not None
    return browser.post(path, data={"form_token": found[1], **fields})
