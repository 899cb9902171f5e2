"""One row per MoE model type that hubbot converts: which mlx-lm class computes it, under which names.

A row is knowledge, not code: what is particular to a family stands in its row with its reason and nowhere else.
"""

from collections.abc import Mapping

from hubbot.catalogue.families.row import Family, Limit, Provenance
from hubbot.catalogue.families.sigmoid_routers import SIGMOID_ROUTERS
from hubbot.catalogue.families.softmax_routers import SOFTMAX_ROUTERS

__all__ = ["BY_MODEL_TYPE", "FAMILIES", "Family", "Limit", "Provenance"]

FAMILIES: tuple[Family, ...] = (*SOFTMAX_ROUTERS, *SIGMOID_ROUTERS)
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in FAMILIES}
