"""All that hubbot knows of each MoE model type, one file a maker: rows that convert, and rows merely recognised.

A row is knowledge, not code: what is particular to a family stands in its row with its reason and nowhere else.
Every module beside this one is read; a new maker's file needs no other edit.
"""

import importlib
import pkgutil
from collections.abc import Collection, Mapping
from typing import Any

from hubbot.catalogue.families.row import Extension, Family, Limit, Provenance, Recognised
from hubbot.checkpoints import Checkpoint

__all__ = [
    "BY_MODEL_TYPE", "FAMILIES", "RECOGNISED", "Extension", "Family", "Limit", "Provenance", "Recognised",
    "family_for", "family_of",
]  # fmt: skip

_MODULES = [
    importlib.import_module(f"{__name__}.{name}")
    for name in sorted(found.name for found in pkgutil.iter_modules(__path__))
]
# By maker, in the order of their rows.
FAMILIES: tuple[Family, ...] = tuple(row for module in _MODULES for row in getattr(module, "FAMILIES", ()))
RECOGNISED: tuple[Recognised, ...] = tuple(row for module in _MODULES for row in getattr(module, "RECOGNISED", ()))
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in FAMILIES}


def family_of(checkpoint: Checkpoint) -> Family | None:
    """Return the row that holds for a checkpoint, by its model type and what it says; None where there is none."""
    return family_for(checkpoint.config, checkpoint.tensors)


def family_for(config: Mapping[str, Any], names: Collection[str]) -> Family | None:
    """Return the row that holds for a config and the names of its tensors, or None where there is none."""
    family = BY_MODEL_TYPE.get(str(config.get("model_type") or ""))
    return next((one.row for one in family.under if one.when(config, names)), family) if family else None
