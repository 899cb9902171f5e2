"""The temporary folders of child processes: their parent removes them, or the next bot where that was killed."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "child-tmp"
# A folder is made a moment before it is locked.
JUST_MADE_SECONDS = 60.0


@contextmanager
def own_folder(data_dir: Path) -> Iterator[Path]:
    """Yield a new folder for one child of this process, and remove it with all that the child left."""
    home = data_dir / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=home))
    # The lock ends with this process; its number may be another's by the next sweep.
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(data_dir: Path) -> None:
    """Remove the folders of children whose parent is gone."""
    for folder in (data_dir / FOLDER).glob("*-*"):
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and (not _lives(int(owner)) or _is_forgotten(folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_forgotten(folder: Path) -> bool:
    """Say whether nobody holds the folder, though some process has its owner's number."""
    try:
        if time.time() - folder.stat().st_mtime < JUST_MADE_SECONDS:
            return False
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
