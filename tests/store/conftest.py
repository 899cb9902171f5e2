"""A database of its own for every test, and a clock that stands still until told."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests import postgres

NUMBERS = itertools.count()


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    if (reason := postgres.missing()) is not None:
        pytest.skip(reason)
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/hubbot.db"
        return
    with postgres.database(request.getfixturevalue("postgres_server"), f"test_{next(NUMBERS)}") as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def queue(engine: sa.Engine, clock: Clock) -> Queue:
    return Queue(engine, clock)


@pytest.fixture
def results(engine: sa.Engine, clock: Clock) -> Results:
    return Results(engine, clock)
