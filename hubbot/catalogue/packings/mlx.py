"""MLX's own quantized repos as a source: recognised by their config, and refused by name.

Their weights were rounded once already and their tensors folded for one class; the checkpoint that they were
made from is the one to convert.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings.rule import Found, refused
from hubbot.checkpoints import Checkpoint

METHOD = "mlx"


def method(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Raise UnknownPacking saying what the repo is."""
    told = f"{block.get('mode', 'affine')}, {block.get('bits')} bits in groups of {block.get('group_size')}"
    raise refused(
        checkpoint,
        f"the repo is quantized for MLX already ({told[:120]})",
        "convert the checkpoint that it was made from; its card or base_model names it",
    )


def is_mlx(block: Mapping[str, Any]) -> bool:
    """Say whether a quantization block is that of mlx-lm, which names no method."""
    return "quant_method" not in block and {"bits", "group_size"} <= set(block)
