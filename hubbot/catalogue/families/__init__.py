"""One row per MoE model type that hubbot converts: which mlx-lm class computes it, under which names.

A row is knowledge, not code: what is particular to a family stands in its row with its reason and nowhere else.
"""

from collections.abc import Mapping

from hubbot.catalogue.families.extended import EXTENDED
from hubbot.catalogue.families.hunyuan import HUNYUAN
from hubbot.catalogue.families.latent_attention import LATENT_ATTENTION
from hubbot.catalogue.families.recurrent_layers import RECURRENT_LAYERS
from hubbot.catalogue.families.row import Extension, Family, Limit, Provenance
from hubbot.catalogue.families.seeing import SEEING
from hubbot.catalogue.families.sigmoid_routers import SIGMOID_ROUTERS
from hubbot.catalogue.families.softmax_routers import SOFTMAX_ROUTERS
from hubbot.catalogue.families.windowed_attention import WINDOWED_ATTENTION

__all__ = ["BY_MODEL_TYPE", "FAMILIES", "Extension", "Family", "Limit", "Provenance"]

FAMILIES: tuple[Family, ...] = (
    *SOFTMAX_ROUTERS,
    *SIGMOID_ROUTERS,
    *LATENT_ATTENTION,
    *RECURRENT_LAYERS,
    *WINDOWED_ATTENTION,
    *SEEING,
    *EXTENDED,
    *HUNYUAN,
)
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in FAMILIES}
