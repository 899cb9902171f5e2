"""What a checkpoint is beside its expert layout: shared experts, extra heads, vision, ties, how many parameters.

Read from config and tensor names together; what the tensors show counts more than what the config claims.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue import packings, resolution
from hubbot.catalogue.configs.nesting import decoder, uniform
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checkpoints import Checkpoint
from hubbot.errors import HubbotError

_SHARED = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
_SHARED_TENSOR = re.compile(r"\.share(?:d_experts?|d_mlp|_expert)\.")
_SHARED_NUMBER = re.compile(r"\.shared_experts\.(\d{1,3})\.")
_HEAD_TENSOR = re.compile(r"(?:^|\.)mtp[._]")
_LAYER = re.compile(r"(?:[\w-]+\.)*?layers\.(\d{1,6})\.")
_VISION_TENSOR = re.compile(r"(?:^|\.)(?:visual|vision\w*|patch_embed|multi_modal_projector)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """`shared_experts` is how many every token passes; `mtp` and `vision` say whether such tensors are there.

    `total` and `active` count parameters, packed ones by their logical size; `active` is what one token uses, None
    where that is not known.
    """

    shared_experts: int
    mtp: bool
    vision: bool
    tied: bool
    total: int
    active: int | None


def portrait(checkpoint: Checkpoint) -> Portrait:
    """Return what config and tensors say."""
    logical = _logical(checkpoint)
    total = sum(tensor.elements for tensor in logical.tensors.values())
    return Portrait(
        shared_experts=_shared_experts(checkpoint),
        mtp=any(_HEAD_TENSOR.search(name) or _is_beyond(name, checkpoint) for name in checkpoint.tensors),
        vision=any(_VISION_TENSOR.search(name) for name in checkpoint.tensors),
        tied=_is_tied(checkpoint),
        total=total,
        active=_active(logical, total),
    )


def _logical(checkpoint: Checkpoint) -> Checkpoint:
    try:
        return packings.unpacked(checkpoint).checkpoint
    except HubbotError:
        # What is packed in an unknown way is counted as it is stored.
        return checkpoint


def _shared_experts(checkpoint: Checkpoint) -> int:
    if not any(_SHARED_TENSOR.search(name) for name in checkpoint.tensors):
        return 0
    config = decoder(checkpoint.config)
    for key in _SHARED:
        value = uniform(key, config.get(key))
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    numbers = [int(found[1]) for name in checkpoint.tensors if (found := _SHARED_NUMBER.search(name))]
    return max(numbers, default=0) + 1


def _is_beyond(name: str, checkpoint: Checkpoint) -> bool:
    layers, found = resolution.layer_count(checkpoint.config), _LAYER.match(name)
    return bool(found and layers is not None and "vision" not in name and int(found[1]) >= layers)


def _is_tied(checkpoint: Checkpoint) -> bool:
    family = BY_MODEL_TYPE.get(checkpoint.model_type)
    declared: Mapping[str, Any] = {**(family.defaults if family else {}), **decoder(checkpoint.config)}
    said = declared.get("tie_word_embeddings")
    if isinstance(said, bool):
        return said
    return not any(name.endswith(("lm_head.weight", "output.weight")) for name in checkpoint.tensors)


def _active(checkpoint: Checkpoint, total: int) -> int | None:
    declared, chosen = resolution.expert_count(checkpoint.config), resolution.experts_per_token(checkpoint.config)
    if declared is None or not chosen or declared[1] < 1:
        return None
    known, _ = expert_layouts.read_names(checkpoint.tensors)
    routed = sum(math.prod(checkpoint.tensors[tensor.name].shape) for tensor in known)
    return total - routed + routed * min(chosen, declared[1]) // declared[1]
