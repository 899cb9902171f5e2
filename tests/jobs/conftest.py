"""A database of its own for every test, and a clock that stands still until told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from hubbot.store.results import Results


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def queue(engine: sa.Engine, clock: Clock) -> Queue:
    return Queue(engine, clock)


@pytest.fixture
def results(engine: sa.Engine, clock: Clock) -> Results:
    return Results(engine, clock)
