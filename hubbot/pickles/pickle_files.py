"""Which files of a repo are pickled weights, as torch saved them before safetensors. It reads nothing."""

import re
from collections.abc import Iterable

from hubbot.checkpoints import Checkpoint, FileInfo

INDEX = "pytorch_model.bin.index.json"
_WEIGHTS = re.compile(r"pytorch_model(?:-\d+-of-\d+)?\.bin", re.ASCII)


def is_pickled(name: str) -> bool:
    """Say whether a file of that name holds pickled weights."""
    return _WEIGHTS.fullmatch(name) is not None


def pickled(files: Iterable[FileInfo]) -> tuple[str, ...]:
    """Return the names of the pickled weight files, sorted; none where the repo has safetensors too."""
    names = sorted(file.path for file in files)
    if any(name.endswith(".safetensors") and "/" not in name for name in names):
        return ()
    return tuple(name for name in names if is_pickled(name))


def has_pickles(checkpoint: Checkpoint) -> bool:
    """Say whether a checkpoint's weights are pickled, so that they must be staged before they are read."""
    return any(is_pickled(shard) for shard in checkpoint.shards)
