"""The database: opening it by URL, bringing its tables up to date, one transaction at a time.

SQLite by default; nothing else in store/ knows which database it is. Failures of the database become HubbotErrors
here. `python -m hubbot.store.database check` exits 1 when tables.py and the
migrations differ.
"""

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, SQLModel

from hubbot.errors import OutOfRoom, TryLater, WrongUsage
from hubbot.files.atomic_folders import is_disk_full
from hubbot.store import tables

# Longer than any transaction of hubbot; SQLite has one writer at a time and the others wait.
BUSY_MILLISECONDS = 30_000
# Any number that no other program of the same PostgreSQL database uses as an advisory lock.
UPGRADE_LOCK = 0x68756262


def open_engine(url: str | Path) -> sa.Engine:
    """Open a database by its SQLAlchemy URL, or a SQLite file; its folder is made where it is missing.

    Raises WrongUsage for a database in memory and for a missing driver.
    """
    # In a URL some characters of a path mean something else.
    address = sa.URL.create("sqlite", database=str(url)) if isinstance(url, Path) else sa.make_url(url)
    if address.get_backend_name() == "sqlite":
        if not address.database or address.database == ":memory:":
            raise WrongUsage("the database must be a file: every thread would see an empty one of its own")
        _make_private(Path(address.database))
    try:
        # A server that was restarted has left connections behind that nobody answers on.
        engine = sa.create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    except ModuleNotFoundError as error:
        raise WrongUsage(
            f"the driver for {address.drivername} is not installed: {error.name}",
            where="database_url",
            hint="pip install 'hubbot[postgres]'",
        ) from error
    event.listen(engine, "handle_error", _to_verdict)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[Session]:
    """Open a session that only reads; raises TryLater where the database does not answer."""
    with Session(engine) as session:
        yield session


def finds_some(engine: sa.Engine, query: sa.Select[Any]) -> bool:
    """Say whether `query`, made once, finds a row. It needs no session, which costs ten times as much when idle.

    Raises TryLater where the database does not answer.
    """
    with engine.connect() as connection:
        return connection.execute(query).first() is not None


@contextmanager
def writing(engine: sa.Engine) -> Iterator[Session]:
    """Open a session that writes; it commits at the end, or rolls back if anything raises.

    Raises OutOfRoom on a full disk, TryLater where the database does not answer.
    """
    with Session(engine.execution_options(hubbot_writes=True)) as session, session.begin():
        yield session


def upsert(
    session: Session,
    table: type[SQLModel],
    values: Mapping[str, Any],
    *,
    key: Sequence[str],
    update: Sequence[str],
) -> None:
    """Insert a row, or set the columns `update` of the row that has the same unique `key`."""
    insert = insertion(session, table, values)
    changes = {name: insert.excluded[name] for name in update}
    session.execute(insert.on_conflict_do_update(index_elements=list(key), set_=changes))


def insertion(
    session: Session, table: type[SQLModel], values: Mapping[str, Any]
) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT that can say ON CONFLICT, which both databases spell alike."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return make(table).values(values)


def file_of(engine: sa.Engine) -> tuple[int, int] | None:
    """Return device and inode of a SQLite database's file, (0, 0) where it is gone; None for another database."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    try:
        found = Path(engine.url.database).stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def check_place(engine: sa.Engine, place: tuple[int, int] | None) -> None:
    """Raise WrongUsage where the database's file is no longer the one that `file_of` told of."""
    if file_of(engine) != place:
        raise WrongUsage(
            "the database was removed or replaced while it was in use",
            where=str(engine.url.database),
            hint="put back a copy of it before hubbot starts again; what is published is on the Hub, jobs are not",
        )


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables up to date; safe to call from several processes at once, and from any folder.

    A SQLite database is copied to <name>.before-<revision> first. Raises WrongUsage where the database is damaged
    or a newer hubbot has written it, or the copy cannot be written; OutOfRoom on a full disk.
    """
    try:
        _upgrade(engine)
    except (sqlite3.DatabaseError, sa.exc.DatabaseError) as failure:
        if "is locked" in str(failure):
            raise TryLater(f"the database does not answer: {failure}") from failure
        if "disk is full" in str(failure):
            raise OutOfRoom("the disk is full: the database cannot be copied before its upgrade") from failure
        raise _damaged(engine.url, str(failure).splitlines()[0]) from failure
    except OSError as failure:
        name = engine.url.render_as_string(hide_password=True)
        message = f"no copy of the database can be kept before its upgrade: {failure.strerror}"
        if is_disk_full(failure):
            raise OutOfRoom(message, where=name) from failure
        hint = f"let {failure.filename or 'the folder'} be written"
        raise WrongUsage(message, where=name, hint=hint) from failure


def _upgrade(engine: sa.Engine) -> None:
    with _bare_connection(engine) as connection:
        try:
            _keep_copy(engine, connection)
            command.upgrade(_alembic(connection), "head")
        except CommandError as failure:
            raise WrongUsage(
                f"this hubbot cannot upgrade the database: {failure}",
                where=engine.url.render_as_string(hide_password=True),
                hint="a newer hubbot has written it; install that one",
            ) from failure


def _keep_copy(engine: sa.Engine, connection: sa.Connection) -> None:
    """Copy a SQLite database that is about to be changed; the caller's transaction keeps other writers out."""
    now = MigrationContext.configure(connection).get_current_revision()
    newest = ScriptDirectory.from_config(_alembic(connection)).get_current_head()
    if engine.dialect.name != "sqlite" or now in {None, newest} or not engine.url.database:
        return
    place = Path(f"{engine.url.database}.before-{newest}")
    aside = place.with_name(f"{place.name}.part")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    with closing(sqlite3.connect(engine.url.database)) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    aside.replace(place)


def check(engine: sa.Engine) -> None:
    """Read a SQLite database through; raises WrongUsage where it is damaged. PostgreSQL looks after itself."""
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if answer != "ok":
        raise _damaged(engine.url, str(answer))


def _damaged(url: sa.URL, problem: str) -> WrongUsage:
    name = url.render_as_string(hide_password=True)
    file = url.database if url.get_backend_name() == "sqlite" else None
    way = f'sqlite3 "{file}" .recover | sqlite3 recovered.db' if file else "restore it from a backup"
    return WrongUsage(
        f"the database is damaged: {problem}",
        where=name,
        hint=f"stop hubbot and keep a copy; put back {file}.before-..., or: {way}" if file else way,
    )


def _make_private(file: Path) -> None:
    """Make the file of a database, readable by its owner only; raises WrongUsage where that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        if file.stat().st_uid == os.getuid():
            file.chmod(0o600)
    except OSError as error:
        raise WrongUsage(
            f"the database cannot be opened: {error.strerror}",
            where=str(file),
            hint="look at the database setting and the file's rights",
        ) from error


def differences(engine: sa.Engine) -> list[str]:
    """Return the differences between tables.py and the database, a line each; none where they agree."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return [str(difference) for difference in compare_metadata(context, SQLModel.metadata)]


def migrations_folder() -> Path:
    """Return the migrations: inside the package where it is installed, else beside it in a checkout."""
    package = Path(tables.__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def main(arguments: Sequence[str]) -> int:
    """Run a developer's command: `check`, or `revision MESSAGE`, which writes a migration to be edited."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/empty.db")
        try:
            upgrade(engine)
            match list(arguments):
                case ["check"]:
                    differing = differences(engine)
                    sys.stdout.writelines(f"{line}\n" for line in differing)
                    return 1 if differing else 0
                case ["revision", message]:
                    number = len(list((migrations_folder() / "versions").glob("*.py"))) + 1
                    with _bare_connection(engine) as connection:
                        command.revision(_alembic(connection), message, autogenerate=True, rev_id=f"{number:04d}")
                    return 0
                case _:
                    sys.stderr.write("usage: python -m hubbot.store.database check | revision MESSAGE\n")
                    return 2
        finally:
            engine.dispose()


@contextmanager
def _bare_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open one transaction in which tables may be rebuilt.

    SQLite changes a column by making a new table and dropping the old one, which foreign keys would answer
    by deleting the rows that point there; the switch acts only outside of a transaction.
    """
    lite = engine.dialect.name == "sqlite"
    with engine.execution_options(hubbot_writes=True).connect() as connection:
        driver = connection.connection.driver_connection
        if lite and driver is not None:
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if not lite:
                    # What BEGIN IMMEDIATE does on SQLite: two that upgrade at once take turns.
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
                yield connection
        finally:
            if lite and driver is not None:
                driver.execute("PRAGMA foreign_keys=ON")


def _alembic(connection: sa.Connection) -> Config:
    config = Config()
    # ConfigParser takes a % for an interpolation.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _prepare_sqlite(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    del entry
    # sqlite3 must not begin transactions by itself: _begin_sqlite does.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode=WAL")
    # A job's state must survive the power: with NORMAL a WAL loses the last transactions.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA fullfsync=ON")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads before it writes must take the write lock at once: SQLite refuses to lift a
    # read snapshot that another writer has made stale, and no timeout helps there.
    writes = connection.get_execution_options().get("hubbot_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _to_verdict(context: sa.ExceptionContext) -> None:
    """Raise a HubbotError for a failure of disk, network or lock; a mistake in hubbot's own SQL stays as it is."""
    if context.is_pre_ping:
        # Another connection is made, and where that fails it is told.
        return
    problem = context.original_exception
    text = " ".join(str(problem).split())
    if "disk is full" in text:
        raise OutOfRoom("the disk is full: the database cannot be written") from problem
    if "malformed" in text and context.engine is not None:
        raise _damaged(context.engine.url, text) from problem
    if _is_read_only(context, text):
        raise TryLater(
            f"the database cannot be written: {text}",
            hint="make its folder writable again, jobs go on by themselves; or look at the setting `database`",
        ) from problem
    if "unable to open database file" in text or "not a database" in text:
        raise WrongUsage(
            f"the database cannot be opened: {text}", hint="look at the database setting and the file's rights"
        ) from problem
    # Without a connection, the failure is one of connecting.
    unreachable = context.is_disconnect or context.connection is None
    if unreachable or "is locked" in text or "disk I/O error" in text:
        raise TryLater(f"the database does not answer: {text}") from problem


def _is_read_only(context: sa.ExceptionContext, text: str) -> bool:
    """Say whether the database is there and takes no writes now: its disk or its server is read-only."""
    if "readonly database" in text or "read-only transaction" in text:
        return True
    file = context.engine.url.database if context.engine is not None else None
    return "unable to open database file" in text and bool(file) and Path(str(file)).is_file()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
