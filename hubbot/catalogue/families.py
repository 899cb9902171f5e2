"""One row per MoE model type that hubbot converts: which mlx-lm class computes it, under which names.

A row is knowledge, not code: what is particular to a family stands here with its reason and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model type and the mlx-lm class that computes the same function.

    `blocks` are the names a layer's MoE block has on disk, `runtime_block` its name in the class. `defaults`
    are the values that the transformers 5.23 config class gives to fields a config.json may omit. `layouts`
    maps a row of the layout catalogue to the order of gate and up in it and the evidence for that; a row that
    is not listed is ambiguous for this family. `reference` names the committed transformers reference.
    """

    model_type: str
    runtime: str
    blocks: tuple[str, ...]
    runtime_block: str
    layouts: Mapping[str, "Provenance"]
    defaults: Mapping[str, Any]
    derived_head_dim: bool = False
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Why a layout row may be read in one way for one model type: `order` of gate and up, and the source."""

    order: str | None
    source: str


_QWEN_FUSED = Provenance(
    order="concatenated",
    source="transformers 5.23 conversion_mapping: gate_proj, up_proj -> MergeModulelist, Concatenate(dim=1)",
)
_PER_EXPERT = Provenance(order=None, source="transformers 5.23 conversion_mapping, one tensor per projection")
_MLX = Provenance(order=None, source="mlx-lm's own SwitchGLU parameters")

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="qwen3_moe",
        runtime="qwen3_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": False,
            "tie_word_embeddings": False,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "rope_scaling": None,
        },
        derived_head_dim=True,
        reference="qwen3_moe",
    ),
    Family(
        model_type="mixtral",
        runtime="mixtral",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={
            "B": Provenance(
                order=None,
                source="transformers 5.23 conversion_mapping: w1, w3 -> gate_up_proj, w2 -> down_proj",
            ),
            "E": Provenance(
                order="concatenated",
                source="transformers 5.23 conversion_mapping: w1, w3 -> MergeModulelist, Concatenate(dim=1)",
            ),
            "M": _MLX,
        },
        defaults={
            "num_key_value_heads": 8,
            "tie_word_embeddings": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "rope_scaling": None,
            "rope_traditional": False,
        },
        reference="mixtral",
    ),
)
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in FAMILIES}
