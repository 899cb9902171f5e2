"""What a disk does to a database that is about to be upgraded, or was left by a machine whose power failed."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command

from hubbot.errors import HubbotError, OutOfRoom, WrongUsage
from hubbot.store import database
from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue

NEWEST = "hubbot.db.before-"


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A database of an earlier version."""
    url = f"sqlite:///{tmp_path}/hubbot.db"
    engine = open_engine(url)
    with database._bare_connection(engine) as connection:
        command.upgrade(database._alembic(connection), "0002")
    engine.dispose()
    return url


def revision(url: str) -> str:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def refuse(url: str, kind: type[HubbotError], words: str) -> None:
    """Upgrade; check that it is refused in words, and that the tables are as they were."""
    engine = open_engine(url)
    with pytest.raises(kind, match=words):
        upgrade(engine)
    engine.dispose()
    assert revision(url) == "0002"


@pytest.mark.parametrize("end", ["", ".part"])
def test_a_folder_in_the_place_of_the_copy_is_named_and_nothing_is_upgraded(
    old: str, tmp_path: Path, end: str
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/new.db")
    upgrade(engine)
    engine.dispose()
    newest = revision(f"sqlite:///{tmp_path}/new.db")
    (tmp_path / f"{NEWEST}{newest}{end}" / "x").mkdir(parents=True)
    refuse(old, WrongUsage, "no copy of the database can be kept")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (sqlite3.OperationalError("database or disk is full"), OutOfRoom),
        (OSError(errno.ENOSPC, "No space left on device"), OutOfRoom),
        (OSError(errno.EROFS, "Read-only file system"), WrongUsage),
        (OSError(errno.EACCES, "Permission denied"), WrongUsage),
    ],
)
def test_no_room_for_the_copy_is_not_called_a_damaged_database(
    old: str, monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[HubbotError]
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(database, "_keep_copy", fail)
    refuse(old, kind, "cop(y|ied)")


def test_an_upgrade_that_is_cut_off_is_made_again_with_its_copy(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade_tables = command.upgrade

    def cut_off(*arguments: object) -> None:
        upgrade_tables(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    engine = open_engine(old)
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", cut_off)
        with pytest.raises(KeyboardInterrupt):
            upgrade(engine)
    assert revision(old) == "0002"
    upgrade(engine)
    engine.dispose()
    (copy,) = Path(old.removeprefix("sqlite:///")).parent.glob(f"{NEWEST}*")
    assert revision(f"sqlite:///{copy}") == "0002"


def lose(folder: Path) -> None:
    (folder / "hubbot.db-wal").unlink()
    (folder / "hubbot.db-shm").unlink(missing_ok=True)


def tear(folder: Path) -> None:
    wal = folder / "hubbot.db-wal"
    os.truncate(wal, wal.stat().st_size - 1000)


def scribble(folder: Path) -> None:
    wal = folder / "hubbot.db-wal"
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 255
    wal.write_bytes(data)


@pytest.mark.parametrize("harm", [lose, tear, scribble])
def test_a_log_of_writes_that_is_lost_or_torn_costs_the_last_writes_and_no_more(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    live, left = tmp_path / "live", tmp_path / "left"
    live.mkdir()
    engine = open_engine(f"sqlite:///{live}/hubbot.db")
    upgrade(engine)
    queue = Queue(engine, lambda: datetime(2026, 3, 1, tzinfo=UTC))
    queue.enqueue("org/first", "a" * 40, ("4bit",), "4bit", requested_by="test")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    for number in range(5):
        queue.enqueue(f"org/{number}", "a" * 40, ("4bit",), "4bit", requested_by="test")
    # As the power's failing leaves it: no connection was closed.
    shutil.copytree(live, left)
    engine.dispose()
    harm(left)
    engine = open_engine(f"sqlite:///{left}/hubbot.db")
    upgrade(engine)
    database.check(engine)
    repos = [job.repo for job in Queue(engine, lambda: datetime(2026, 3, 1, tzinfo=UTC)).jobs()]
    engine.dispose()
    assert "org/first" in repos
    assert len(repos) == len(set(repos)) <= 6
