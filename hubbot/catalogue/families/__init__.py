"""All that hubbot knows of each MoE model type, one file a maker: rows that convert, and rows merely recognised.

A row is knowledge, not code: what is particular to a family stands in its row with its reason and nowhere else.
Every module beside this one is read; a new maker's file needs no other edit.
"""

import importlib
import pkgutil
from collections.abc import Mapping

from hubbot.catalogue.families.row import Extension, Family, Limit, Provenance, Recognised

__all__ = ["BY_MODEL_TYPE", "FAMILIES", "RECOGNISED", "Extension", "Family", "Limit", "Provenance", "Recognised"]

_MODULES = [
    importlib.import_module(f"{__name__}.{name}")
    for name in sorted(found.name for found in pkgutil.iter_modules(__path__))
]
# By maker, in the order of their rows.
FAMILIES: tuple[Family, ...] = tuple(row for module in _MODULES for row in getattr(module, "FAMILIES", ()))
RECOGNISED: tuple[Recognised, ...] = tuple(row for module in _MODULES for row in getattr(module, "RECOGNISED", ()))
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in FAMILIES}
