"""Files and folders that are whole or absent: room on the disk, made aside, brought to the disk, renamed.

It never decides whose a folder is: the caller passes that question in.
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hubbot.errors import CorruptHeader, FolderUnusable, HubbotError, OutOfRoom, WrongUsage
from hubbot.files.sizes import readable

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MACOS_FULLFSYNC: Final = 51  # F_FULLFSYNC of <fcntl.h>


def partial_folder(out: Path) -> Path:
    """Return where `out` is made: beside it, so on the same disk, and hidden."""
    return out.parent / f".{out.name}.partial"


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents; raises WrongUsage where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WrongUsage("a file stands where the folder should be", where=str(folder)) from error


def refuse_foreign(folder: Path, is_ours: Callable[[Path], bool], message: str) -> None:
    """Raise WrongUsage with `message` where `folder` exists and is no folder that `is_ours` accepts."""
    if folder.is_symlink() or folder.exists():
        if folder.is_dir() and is_ours(folder):
            return
        raise WrongUsage(message, where=str(folder), hint="choose another --out, or move the folder away")


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on the disk of `folder`, which exists."""
    return shutil.disk_usage(folder).free


def check_room(folder: Path, nbytes: int, *, purpose: str, hint: str = "free some space") -> None:
    """Raise OutOfRoom, with the numbers, unless the disk of `folder` has `nbytes` free for `purpose`."""
    free = free_bytes(folder)
    if free < nbytes:
        raise OutOfRoom(
            f"{purpose} needs {readable(nbytes)} more on the disk, {readable(free)} are free",
            where=str(folder),
            hint=hint,
        )


def check_writable(folder: Path) -> None:
    """Write a byte in `folder`, which is made where only it is missing, and remove it again.

    Raises FolderUnusable where that cannot be, OutOfRoom on a full disk.
    """
    trial = folder / ".writable"
    try:
        folder.mkdir(exist_ok=True)
        trial.write_bytes(b"1")
        trial.unlink(missing_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise explain(error, folder) from error
        raise FolderUnusable(
            f"{folder} cannot be written: {error.strerror}",
            hint="mount it again, or make it a folder that hubbot may write; the jobs go on by themselves",
        ) from error


def is_disk_full(error: BaseException) -> bool:
    """Say whether `error` is the system's for a full disk, a used-up quota or a file too large for its disk."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


def explain(error: OSError, where: Path) -> HubbotError:
    """Return what an error of the file system means: OutOfRoom, CorruptHeader or a plain HubbotError."""
    if is_disk_full(error):
        return OutOfRoom(
            "the disk is full", where=str(where), hint="free some space; nothing was left half-written"
        )
    if isinstance(error, FileNotFoundError):
        return CorruptHeader("a file of the source is gone", where=str(error.filename))
    return HubbotError(f"a file could not be read or written: {error}", where=str(where))


def flush(descriptor: int) -> None:
    """Return when all that was written to an open file or folder is on the disk.

    macOS's fsync leaves bytes in the drive's own cache; F_FULLFSYNC does not (fsync(2)), and not every file
    system there has it. Raises OSError where the disk fails.
    """
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - Windows has none

        try:
            fcntl.fcntl(descriptor, _MACOS_FULLFSYNC)
        except OSError as error:
            if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
                raise
        else:
            return
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Return when every file below `folder`, and the names in it, are on the disk."""
    for path in [*folder.rglob("*"), folder]:
        _flush_path(path)


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`: after a kill or a power cut the file is the old one or the new one, never a part."""
    partial = path.parent / f".{path.name.removeprefix('.')}.partial"
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        flush(file.fileno())
    partial.replace(path)
    _flush_path(path.parent)


def replace_folder(made: Path, out: Path) -> None:
    """Bring every byte of folder `made` to the disk and rename it to `out`, in place of what stands there.

    What stood there is moved aside first and deleted last, so that no half-deleted folder is called `out`.
    """
    flush_folder(made)
    old = out.parent / f".{out.name}.old"
    _remove(old)
    if out.is_symlink() or out.exists():
        out.replace(old)
    made.replace(out)
    _flush_path(out.parent)
    if made.parent != out.parent:
        _flush_path(made.parent)
    _remove(old)


def _flush_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
