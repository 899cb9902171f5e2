"""Bring a checkpoint's weights and side files to this machine, resumably, every known sha256 checked."""

from collections.abc import Collection
from pathlib import Path

from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.files.atomic_folders import check_room
from hubbot.finishing import CONFIG, files_read, side_files
from hubbot.hub.client import Hub
from hubbot.progress import Progress


def fetch(
    checkpoint: Checkpoint,
    hub: Hub,
    folder: Path,
    *,
    room_for: int,
    progress: Progress,
    shards: Collection[str] | None = None,
) -> Path:
    """Download what a conversion needs into `folder` and return it; `room_for` more bytes must fit afterwards.

    With `shards` only those weight files are fetched, beside everything that is no weight file.
    Raises OutOfRoom before the first byte where disk is short, HubUnavailable where the network fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left_out = set() if shards is None else set(checkpoint.shards) - set(shards)
    files = tuple(file for file in wanted(checkpoint) if file.path not in left_out)
    here = sum((folder / file.path).stat().st_size for file in files if (folder / file.path).is_file())
    needed = sum(file.size for file in files) - here + room_for
    hint = "free some space; the job is tried again by itself"
    check_room(folder, needed, purpose="the download with the conversion", hint=hint)
    hub.fetch(checkpoint.repo, files, folder, progress)
    return folder


def wanted(checkpoint: Checkpoint) -> tuple[FileInfo, ...]:
    """Return the files of the repo that a conversion reads or copies; no code but what is read as text."""
    side = (*side_files(checkpoint), *files_read(checkpoint))
    names = {CONFIG, *checkpoint.shards, *(file.path for file in side)}
    return tuple(file for file in checkpoint.files if file.path in names)
