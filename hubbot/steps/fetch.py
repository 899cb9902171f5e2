"""Download a checkpoint's weights and side files, or an artifact; it resumes, and checks every known sha256."""

from collections.abc import Collection, Sequence
from pathlib import Path

from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.files.atomic_folders import check_room
from hubbot.finishing import CONFIG, files_read, side_files
from hubbot.hub.client import Hub
from hubbot.progress import Progress

NOT_MLX = (".py", ".bin", ".gguf")


def fetch(
    checkpoint: Checkpoint,
    hub: Hub,
    folder: Path,
    *,
    files: Sequence[FileInfo],
    room_for: int,
    progress: Progress,
) -> None:
    """Download `files` of the checkpoint into `folder`; `room_for` more bytes must fit afterwards.

    Raises OutOfRoom before the first byte where disk is short, HubUnavailable where the network fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = sum((folder / file.path).stat().st_size for file in files if (folder / file.path).is_file())
    needed = sum(file.size for file in files) - here + room_for
    hint = "free some space; the job is tried again by itself"
    check_room(folder, needed, purpose="the download with the conversion", hint=hint)
    hub.fetch(checkpoint.repo, files, folder, progress)


def wanted(checkpoint: Checkpoint, shards: Collection[str] | None = None) -> tuple[FileInfo, ...]:
    """Return the files of the repo that a conversion reads or copies; no code but what is read as text.

    With `shards` only those of the weight files.
    """
    side = (*side_files(checkpoint), *files_read(checkpoint))
    weights = checkpoint.shards if shards is None else shards
    names = {CONFIG, *weights, *(file.path for file in side)}
    return tuple(file for file in checkpoint.files if file.path in names)


def fetch_artifact(repo_id: str, hub: Hub, folder: Path, progress: Progress) -> None:
    """Download the newest commit of an MLX repo into `folder`, without code, pickles and other formats' weights.

    Raises RepoMissing, Gated or HubUnavailable.
    """
    files = hub.open(repo_id, None)
    folder.mkdir(parents=True, exist_ok=True)
    hub.fetch(files.repo, [file for file in files.files if not file.path.endswith(NOT_MLX)], folder, progress)
