"""The temporary folders of child processes: their parent removes them, or the next bot where that was killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "child-tmp"


@contextmanager
def own_folder(data_dir: Path) -> Iterator[Path]:
    """Yield a new folder for one child of this process, and remove it with all that the child left."""
    home = data_dir / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(data_dir: Path) -> None:
    """Remove the folders of children whose parent is gone."""
    for folder in (data_dir / FOLDER).glob("*-*"):
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
