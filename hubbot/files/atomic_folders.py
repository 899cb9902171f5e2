"""Folders made aside and renamed when they are whole: nothing half-made ever has the name of the finished thing.

It never decides what may be replaced; whoever calls it has.
"""

import errno
import os
import shutil
from pathlib import Path

from hubbot.errors import CorruptHeader, HubbotError, OutOfRoom, WrongUsage
from hubbot.files.sizes import readable


def aside_of(out: Path) -> Path:
    """Return where `out` is made: beside it, on the same disk, hidden."""
    return out.parent / f".{out.name}.partial"


def make_parent(out: Path) -> None:
    """Make the folder that `out` will stand in, or raise WrongUsage where a file is in the way."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WrongUsage("a file stands where the folder should be", where=str(out.parent)) from error


def check_room(folder: Path, nbytes: int) -> None:
    """Raise OutOfRoom unless the disk of `folder` has `nbytes` free."""
    free = shutil.disk_usage(folder).free
    if free < nbytes:
        raise OutOfRoom(
            f"{readable(nbytes)} are needed, the disk has {readable(free)} free",
            where=str(folder),
            hint="free some space",
        )


def settle(folder: Path, out: Path) -> None:
    """Bring every byte of `folder` to the disk and give it the name `out`, in the place of what has it."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    shutil.rmtree(out, ignore_errors=True)
    folder.replace(out)


def explained(error: OSError, where: Path) -> HubbotError:
    """Return what an error of the disk means to the person."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return OutOfRoom(
            "the disk is full", where=str(where), hint="free some space; nothing was left half-written"
        )
    if isinstance(error, FileNotFoundError):
        return CorruptHeader("a file of the source is gone", where=str(error.filename))
    return HubbotError(f"a file could not be read or written: {error}", where=str(where))
