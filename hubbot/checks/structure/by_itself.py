"""An MLX repo without its source: whether all is there that its config promises, in the shapes and bits it says.

It reads config and headers alone, so that it judges no number and no value of the config.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.catalogue.tensors import TOWER, drop_reason
from hubbot.catalogue.towers import VISION
from hubbot.catalogue.variants.roles import role_of
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.artifact_parameters import StoredParameters, shapes_of
from hubbot.checks.readers.tensor_files import TensorFiles
from hubbot.checks.structure import finding
from hubbot.checks.structure.stored_tensors import check_tensors
from hubbot.errors import HubbotError

# Where files that are not here would be: every header is known already.
_NOWHERE = Path("/nonexistent")


def check_by_itself(checkpoint: Checkpoint) -> Iterator[Finding]:
    """Yield findings on components, names, shapes and bits of an MLX repo, by its config and headers alone."""
    config: Mapping[str, Any] = checkpoint.config
    try:
        shapes = shapes_of(config)
    except HubbotError as error:
        yield finding(
            "readable", "config.json", error.message, "a model that mlx-lm builds", "fail", "no such model"
        )
        return
    tower = {name: info.shape for name, info in checkpoint.tensors.items() if _is_of_a_tower(name, config)}
    files = TensorFiles(_NOWHERE, checkpoint.shards, checkpoint.tensors)
    stored = StoredParameters(_NOWHERE, {**shapes, **tower}, files)
    yield from check_tensors(stored, {**shapes, **tower}, config)
    experts = [name for name in shapes if role_of(name) == "expert"]
    lost = [name for name in experts if name not in stored.by_name]
    yield finding.decided(
        "experts of every layer", lost[0] if lost else "all layers", len(experts) - len(lost), len(experts),
        ok=not lost, reason=f"{shapes[experts[0]][0]} experts in each" if experts else "the model has none",
    )  # fmt: skip
    if VISION in config:
        yield finding(
            "tower", "config.json, vision_config", len(tower), "> 0", "pass" if tower else "fail",
            "tensors of a tower; their values are judged against a source alone",
        )  # fmt: skip


def _is_of_a_tower(name: str, config: Mapping[str, Any]) -> bool:
    reason = drop_reason(name, config) if VISION in config else None
    return reason == TOWER
