"""Tensors beside the experts: what a family calls them on disk, and which are dropped for what reason.

A drop is knowledge with a reason; a tensor that no rule names must find its place in the runtime's model.
"""

import re
from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.families import Family

# (whole-name pattern, config key that must hold or None, reason)
_DROPS: tuple[tuple[re.Pattern[str], str | None, str], ...] = (
    (
        re.compile(r".*\.rotary_emb\.inv_freq"),
        None,
        "rotary frequencies are computed from rope_theta by the runtime",
    ),
    (
        re.compile(r"(?:.*\.)?lm_head\.weight"),
        "tie_word_embeddings",
        "tie_word_embeddings is true: the output layer is the embedding, as in transformers",
    ),
)


def drop_reason(name: str, config: Mapping[str, Any]) -> str | None:
    """Return why source tensor `name` is not taken over under the resolved `config`, or None if it must be."""
    for pattern, condition, reason in _DROPS:
        if pattern.fullmatch(name) and (condition is None or config.get(condition)):
            return reason
    return None


def runtime_name(name: str, family: Family) -> str:
    """Return the parameter of the runtime's model that a source tensor beside the experts becomes."""
    for pattern, replacement in family.renames:
        name = re.sub(pattern, replacement, name)
    for block in family.blocks:
        if block != family.runtime_block:
            name = re.sub(rf"(\.layers\.\d+\.){block}\.", rf"\g<1>{family.runtime_block}.", name)
    return name
