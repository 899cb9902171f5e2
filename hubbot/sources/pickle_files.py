"""Which files of a repo are pickled weights, as torch saved them before safetensors. It reads nothing."""

import re
from collections.abc import Iterable

from hubbot.checkpoints import Checkpoint, FileInfo

ONE_FILE = "pytorch_model.bin"
INDEX = f"{ONE_FILE}.index.json"
_WEIGHTS = re.compile(r"pytorch_model(?:-\d+-of-\d+)?\.bin", re.ASCII)


def is_pickled(name: str) -> bool:
    """Say whether a file of that name holds pickled weights."""
    return _WEIGHTS.fullmatch(name) is not None


def pickled(files: Iterable[FileInfo]) -> tuple[str, ...]:
    """Return the names of the pickled weight files, sorted."""
    return tuple(sorted(file.path for file in files if is_pickled(file.path)))


def has_pickles(checkpoint: Checkpoint) -> bool:
    """Say whether a checkpoint's weights are pickled, so that they must be staged before they are read."""
    return any(is_pickled(shard) for shard in checkpoint.shards)
