"""The database of the settings, opened for bot, commands and pages alike. It never touches the Hub."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hubbot.errors import WrongUsage
from hubbot.settings import Settings
from hubbot.store import database
from hubbot.store.listings import Listings
from hubbot.store.outages import Outages
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from hubbot.store.workers import Workers


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The database alone, for commands that do not touch the Hub.

    `check` raises where it is damaged, `check_place` raises WrongUsage where its file was removed or replaced.
    """

    queue: Queue
    results: Results
    listings: Listings
    outages: Outages
    workers: Workers
    check: Callable[[], None]
    check_place: Callable[[], None]


def _make_data_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid == os.getuid():
            folder.chmod(0o700)
    except OSError as error:
        raise WrongUsage(
            f"the data folder cannot be made: {error.strerror}",
            where=str(folder),
            hint="mend the setting data_dir",
        ) from error


@contextmanager
def open_records(settings: Settings) -> Iterator[Records]:
    """Open the database, bring its tables up to date, and close it at the end; raises as store.database does."""
    _make_data_folder(settings.data_dir)
    engine = database.open_engine(settings.database_url or settings.database_file)
    try:
        database.upgrade(engine)
        place = database.file_of(engine)
        yield Records(
            queue=Queue(engine, utc_now),
            results=Results(engine, utc_now),
            listings=Listings(engine),
            outages=Outages(engine),
            workers=Workers(engine),
            check=lambda: database.check(engine),
            check_place=lambda: database.check_place(engine, place),
        )
    finally:
        engine.dispose()
