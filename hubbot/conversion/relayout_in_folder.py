"""A checkpoint rewritten in another form into a folder of the person's own: fetched, staged, rewritten."""

from dataclasses import replace
from pathlib import Path

from hubbot.catalogue.experts.relayout_moves import Rearrangement
from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.conversion.conversion import Conversion, reading_in_place
from hubbot.conversion.source_files import bring_source, still_staged
from hubbot.conversion.workspace import Workspace
from hubbot.hub.client import Hub
from hubbot.steps import relayout as relaying


def relayout(
    conversion: Conversion, checkpoint: Checkpoint, rearrangement: Rearrangement, out: Path
) -> tuple[FileInfo, ...]:
    """Write the checkpoint to `out` as `rearrangement` says; return the files with their sha256.

    A download stays beside `out` until the work is done. Raises as `bring_source` and steps.relayout do.
    """
    workspace = Workspace(root=out.parent / f".{out.name}.source")
    working = reading_in_place(replace(conversion, workspace=workspace), checkpoint)
    if isinstance(conversion.origin, Hub):
        checkpoint = still_staged(workspace, checkpoint)
    names = {*checkpoint.shards, *(file.path for file in relaying.side_files(checkpoint))}
    files = [file for file in checkpoint.files if file.path in names]
    if working.workspace.source_folder is None:
        workspace.save("checkpoint", checkpoint.to_json())
    checkpoint = bring_source(working, checkpoint, room_for=checkpoint.weight_bytes, files=files)
    with conversion.show("relayout") as progress:
        written = relaying.relayout(
            checkpoint,
            _found_in(checkpoint, rearrangement),
            source=working.workspace.source,
            out=out,
            working_bytes=conversion.settings.working_bytes,
            shard_bytes=conversion.settings.shard_bytes,
            progress=progress,
        )
    workspace.remove()
    return written


def _found_in(checkpoint: Checkpoint, made: Rearrangement) -> Rearrangement:
    """Return `made` with its tensors where they lie now: staging pickles puts them into other files."""
    staged = checkpoint.tensors
    tensors = {
        name: replace(info, shard=staged[name].shard, start=staged[name].start, end=staged[name].end)
        if name in staged
        else info
        for name, info in made.tensors.items()
    }
    return replace(made, tensors=tensors)
