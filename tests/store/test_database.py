"""Opening, upgrading, and what the database's troubles become."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from hubbot.errors import OutOfRoom, TryLater, WrongUsage
from hubbot.store import database, tables
from hubbot.store.database import differences, main, migrations_folder, open_engine, upgrade, writing
from hubbot.store.queue import Queue

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: what is tested here is its own."""
    return f"sqlite:///{tmp_path}/hubbot.db"


def pragma(engine: sa.Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.scalar(sa.text(f"PRAGMA {name}"))


def test_a_sqlite_database_is_opened_for_several_processes(engine: sa.Engine) -> None:
    assert pragma(engine, "journal_mode") == "wal"
    assert pragma(engine, "foreign_keys") == 1
    assert pragma(engine, "synchronous") == 2
    assert pragma(engine, "busy_timeout") == database.BUSY_MILLISECONDS


def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/deep/er/hubbot.db")
    upgrade(engine)
    engine.dispose()
    assert (tmp_path / "deep/er/hubbot.db").is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(WrongUsage, match="must be a file"):
        open_engine(url)


def test_foreign_keys_hold_again_after_an_upgrade(engine: sa.Engine) -> None:
    upgrade(engine)
    with pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"), writing(engine) as session:
        session.execute(
            sa.text("INSERT INTO results VALUES (1, 404, 'report', '', '{}', '2026-03-01 00:00:00.000000')")
        )


def write_watermark(engine: sa.Engine, size: int) -> None:
    with writing(engine) as session:
        session.execute(sa.text("INSERT INTO watermarks VALUES ('rule', :value)"), {"value": "x" * size})


def write_and_fail(engine: sa.Engine) -> None:
    with writing(engine) as session:
        session.execute(sa.text("INSERT INTO watermarks VALUES ('rule', 'value')"))
        raise RuntimeError("midway")


def test_a_write_that_raises_leaves_nothing_behind(engine: sa.Engine) -> None:
    with pytest.raises(RuntimeError, match="midway"):
        write_and_fail(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM watermarks")) == 0


def test_upgrading_from_several_processes_at_once_and_from_another_folder_is_safe(tmp_path: Path) -> None:
    script = "import sys; from hubbot.store.database import *; upgrade(open_engine(sys.argv[1]))"
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/hubbot.db"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, cwd=tmp_path, env=env) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    assert differences(engine) == []
    engine.dispose()


def test_a_database_of_a_newer_hubbot_is_left_alone(engine: sa.Engine) -> None:
    with writing(engine) as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongUsage, match="cannot upgrade the database") as caught:
        upgrade(engine)
    assert caught.value.hint is not None
    assert "newer hubbot" in caught.value.hint


def test_migrations_inside_an_installed_package_come_before_a_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "__file__", str(tmp_path / "hubbot/store/tables.py"))
    assert migrations_folder() == tmp_path / "migrations"
    (tmp_path / "hubbot/migrations").mkdir(parents=True)
    assert migrations_folder() == tmp_path / "hubbot/migrations"


def test_a_percent_sign_in_the_path_is_only_a_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "100%done"
    odd.symlink_to(migrations_folder())
    monkeypatch.setattr(database, "migrations_folder", lambda: odd)
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    engine.dispose()


def test_a_locked_database_is_tried_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MILLISECONDS", 10)
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    other = sqlite3.connect(tmp_path / "hubbot.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TryLater, match="database is locked"):
        write_watermark(engine, 1)
    other.close()
    engine.dispose()


def test_a_full_disk_is_named(engine: sa.Engine) -> None:
    pages = pragma(engine, "page_count")
    sa.event.listen(engine, "begin", lambda held: held.exec_driver_sql(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(OutOfRoom, match="disk is full"):
        write_watermark(engine, 10**6)


def test_a_path_that_cannot_be_a_database_is_the_callers_mistake(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}")
    with pytest.raises(WrongUsage, match="cannot be opened"):
        upgrade(engine)
    engine.dispose()


def test_the_developers_check_passes_and_complains_about_other_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["check"]) == 0
    assert main(["chekc"]) == 2
    assert "usage" in capsys.readouterr().err
    monkeypatch.setattr(database, "differences", lambda _: ["('add_table', 'moods')"])
    assert main(["check"]) == 1
    assert "moods" in capsys.readouterr().out


def damaged(path: Path) -> Path:
    """A database with rows, a page of which is overwritten."""
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    queue = Queue(engine, lambda: datetime(2026, 3, 1, tzinfo=UTC))
    for number in range(300):
        queue.enqueue(f"org/{number}", "a" * 40, ("4bit",), "4bit", requested_by="test")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096 - 100))
    return path


def test_a_damaged_database_is_told_in_one_line_with_the_way_out(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{damaged(tmp_path / 'hubbot.db')}")

    def look() -> None:
        upgrade(engine)
        Queue(engine, lambda: datetime(2026, 3, 1, tzinfo=UTC)).jobs()

    with pytest.raises(WrongUsage) as caught:
        look()
    engine.dispose()
    assert "damaged" in caught.value.message
    assert "\n" not in caught.value.message
    assert ".recover" in (caught.value.hint or "")


def test_a_copy_is_kept_before_the_tables_are_changed_and_only_then(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hubbot.db"
    engine = open_engine(url)
    with database._bare_connection(engine) as connection:
        command.upgrade(database._alembic(connection), "0002")
        connection.exec_driver_sql(
            "INSERT INTO jobs (repo, revision, recipe_key, variants, stage, state, priority, attempts, "
            "cancel_requested, requested_by, created_at, updated_at) VALUES ('a/b', 'c', '4bit', '[\"4bit\"]', "
            "'fetch', 'waiting', 0, 1, 0, 'test', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )
    upgrade(engine)
    (job,) = Queue(engine, lambda: datetime(2026, 3, 1, tzinfo=UTC)).jobs()
    assert (job.repo, job.stage, job.attempts, job.allow_older) == ("a/b", "fetch", 1, False)
    upgrade(engine)
    engine.dispose()
    (copy,) = tmp_path.glob("hubbot.db.before-*")
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT repo FROM jobs").fetchall() == [("a/b",)]
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "hubbot.db"
    path.touch(mode=0o644)
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    assert path.stat().st_mode & 0o777 == 0o600
