"""Bring a checkpoint's files to where they are read: fetched from the Hub, pickles staged as safetensors.

A folder of the person's own is read where it is and never changed.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.workspace import Workspace
from hubbot.errors import WorkLost
from hubbot.sources.pickle_files import has_pickles, is_pickled
from hubbot.steps import fetch


def bring_source(
    conversion: Conversion,
    checkpoint: Checkpoint,
    *,
    room_for: int,
    files: Sequence[FileInfo] | None = None,
) -> Checkpoint:
    """Bring `files` (default: what a conversion needs) into the workspace's source folder, weights as safetensors.

    Returns the checkpoint as it is there, which the workspace has saved where it was staged. `room_for` more bytes
    must fit on the disk afterwards. Raises OutOfRoom, HubUnavailable, and what the staging of pickles raises.
    """
    files = fetch.wanted(checkpoint) if files is None else files
    source, staging = conversion.workspace.source, has_pickles(checkpoint)
    if isinstance(conversion.origin, Path):
        if not staging:
            return checkpoint
        checkpoint = _stage(conversion, conversion.origin)
        for file in files:
            if not is_pickled(file.path):
                (source / file.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(conversion.origin / file.path, source / file.path)
        return checkpoint
    room = room_for + (checkpoint.weight_bytes if staging else 0)
    with conversion.show("fetch") as progress:
        fetch.fetch(checkpoint, conversion.hub, source, files=files, room_for=room, progress=progress)
    if not staging:
        return checkpoint
    pickles = checkpoint.shards
    checkpoint = _stage(conversion, source)
    for name in pickles:
        (source / name).unlink(missing_ok=True)
    return checkpoint


def still_staged(workspace: Workspace, checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint as an interrupted conversion staged it in `workspace`, or as it is on the Hub.

    Only for a source of the Hub, whose commit names its bytes; files in a folder may have changed.
    """
    try:
        saved = workspace.checkpoint()
        workspace.check_weights(saved)
    except WorkLost:
        return checkpoint
    staged = has_pickles(checkpoint) and not has_pickles(saved) and saved.repo == checkpoint.repo
    return saved if staged else checkpoint


def _stage(conversion: Conversion, pickles: Path) -> Checkpoint:
    """Write the pickled weights of folder `pickles` as safetensors into the workspace's source folder."""
    conversion.ask("stage", {"pickles": str(pickles), "shard_bytes": conversion.settings.shard_bytes})
    return conversion.workspace.checkpoint()
