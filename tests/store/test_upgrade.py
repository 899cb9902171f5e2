"""A database that the first hubbot filled is upgraded with every row as it was, and a copy of it stays."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from hubbot.lifecycle import Stage, State
from hubbot.store import database
from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from hubbot.store.results import Results

FIRST = "0001"
ROWS = 300
START = datetime(2026, 1, 1, tzinfo=UTC)
PARENTS = ("jobs", "watermarks", "publications", "attempts", "results", "sightings")
TEXTS = ("", "a/b", 'it\'s "so"', "%_\\", "Ünïcode ✓ 模型", "[/red]", "x" * 3000)


def tables(connection: sa.Connection) -> dict[str, sa.Table]:
    found = sa.MetaData()
    found.reflect(connection, only=PARENTS)
    return dict(found.tables)


def value(column: sa.Column[Any], number: int, random: Random) -> object:
    """A value that the first hubbot could have written, null now and then where that may be."""
    if column.nullable and random.random() < 0.3:
        return None
    named: dict[str, object] = {
        "job_id": 1 + random.randrange(ROWS),
        "stage": random.choice([stage.value for stage in Stage]),
        "state": random.choice([state.value for state in State]),
        "variants": [f"{number}bit"],
        **dict.fromkeys(("repo", "source_repo", "rule"), f"fables/{random.choice(TEXTS)}-{number}"),
    }
    kinds: dict[type, object] = {
        sa.JSON: {"kind": "NoRuntime", "of": [number, None, 1.5]},
        sa.DateTime: START + timedelta(seconds=number, microseconds=random.randrange(10**6)),
        sa.Boolean: bool(number % 2),
        sa.Float: random.random(),
        sa.BigInteger: random.randrange(1 << 40),
        sa.Integer: random.randrange(5),
        sa.String: f"{random.choice(TEXTS)}{number}",
    }
    fitting = (made for kind, made in kinds.items() if isinstance(column.type, kind))
    return named[column.name] if column.name in named else next(fitting)


def fill(connection: sa.Connection) -> None:
    random = Random(7)
    for name in PARENTS:
        table = tables(connection)[name]
        rows = [
            {
                column.name: number if column.name == "id" else value(column, number, random)
                for column in table.columns
            }
            for number in range(1, ROWS + 1)
        ]
        connection.execute(table.insert(), rows)
    if connection.dialect.name == "postgresql":
        # The numbers that were given here are not known to what gives the next ones.
        for name in PARENTS:
            if "id" in tables(connection)[name].columns:
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {ROWS})")


def rows(connection: sa.Connection, columns: dict[str, list[str]]) -> dict[str, list[Any]]:
    """All rows of every table, of these columns alone, in the order of their key."""
    found = {}
    for name, table in tables(connection).items():
        chosen = [table.columns[column] for column in columns[name]]
        answer = connection.execute(sa.select(*chosen).order_by(*table.primary_key.columns)).all()
        found[name] = [json.loads(json.dumps(list(row), default=str)) for row in answer]
    return found


def test_the_upgrade_from_the_first_tables_keeps_every_row_with_a_copy(database_url: str, tmp_path: Path) -> None:
    engine = open_engine(database_url)
    with database._bare_connection(engine) as connection:
        command.upgrade(database._alembic(connection), FIRST)
        fill(connection)
        columns = {name: [column.name for column in table.columns] for name, table in tables(connection).items()}
        before = rows(connection, columns)
    assert {name: len(found) for name, found in before.items()} == dict.fromkeys(PARENTS, ROWS)
    upgrade(engine)
    with engine.connect() as connection:
        assert rows(connection, columns) == before
    # And what is written from now on goes on from there.
    queue = Queue(engine, lambda: START)
    job, is_new = queue.enqueue("fables/New", "a" * 40, ("4bit",), "4bit", requested_by="test")
    assert (is_new, job.id > ROWS) == (True, True)
    assert len(queue.jobs(limit=None)) == ROWS + 1
    assert len(Results(engine, lambda: START).publications()) == ROWS
    engine.dispose()
    if database_url.startswith("sqlite"):
        (copy,) = tmp_path.glob("hubbot.db.before-*")
        with closing(sqlite3.connect(copy)) as kept:
            assert kept.execute("SELECT version_num FROM alembic_version").fetchone() == (FIRST,)
            assert kept.execute("SELECT count(*) FROM jobs").fetchone() == (ROWS,)
            assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("revision", ["0002", "0003", "0004", "0005", "0006", "0007"])
def test_an_upgrade_from_any_revision_in_between_keeps_the_jobs(revision: str, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    with database._bare_connection(engine) as connection:
        command.upgrade(database._alembic(connection), FIRST)
        fill(connection)
        command.upgrade(database._alembic(connection), revision)
    upgrade(engine)
    assert len(Queue(engine, lambda: START).jobs(limit=None)) == ROWS
    engine.dispose()
