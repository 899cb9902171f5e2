"""A PostgreSQL server of its own for a test run, in a temporary folder; root starts it as the user postgres.

`missing()` says why there can be none; a test that needs one is skipped with that reason.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

USER = "postgres"


def missing() -> str | None:
    """Return why no server can be started here, or None."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    for program in ("initdb", "pg_ctl"):
        if _program(program) is None:
            return f"PostgreSQL's {program} is not installed"
    if os.getuid() == 0 and (_account() is None or shutil.which("runuser") is None):
        return "root cannot start PostgreSQL, and there is no user postgres"
    return None


class Server:
    """A server whose files lie in `folder`; `url` is without a database's name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.url = f"postgresql+psycopg://{USER}@/{{}}?host={folder}"

    def start(self) -> None:
        sockets = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        options = f"{sockets} -c fsync=off -c max_connections=200"
        _run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str) -> None:
        _run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")


@contextmanager
def running() -> Iterator[Server]:
    """Yield a server, which may be stopped and started; it ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="hubbot-postgres-"))
    try:
        if (account := _account()) and os.getuid() == 0:
            os.chown(folder, account.pw_uid, account.pw_gid)
        one = Server(folder)
        _run("initdb", "-D", str(one.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        one.start()
        try:
            yield one
        finally:
            one.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """Yield the URL of a server, without a database's name; it ends with the block."""
    with running() as one:
        yield one.url


@contextmanager
def database(url: str, name: str) -> Iterator[str]:
    """Yield the URL of a new, empty database of a server; it is dropped at the end."""
    engine = sa.create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield url.format(name)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        engine.dispose()


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return None


def _program(name: str) -> str | None:
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(newest[-1]) if newest else None)


def _run(program: str, *arguments: str) -> None:
    found = _program(program)
    assert found is not None
    before = ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*before, found, *arguments], check=False, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
