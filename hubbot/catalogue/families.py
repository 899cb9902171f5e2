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
    is not listed is ambiguous for this family. `neutral` adds values under which a config key that the class
    does not read has no effect, `inert` names keys that never have one in this family; `limits` names fields
    that the class reads but computes otherwise beyond certain values. `renames` are (pattern, replacement) for
    tensors beside the experts, `expert_module` is what the class calls its stacked experts. `reference` names
    the committed transformers reference.
    """

    model_type: str
    runtime: str
    blocks: tuple[str, ...]
    runtime_block: str
    layouts: Mapping[str, "Provenance"]
    defaults: Mapping[str, Any]
    derived_head_dim: bool = False
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    inert: tuple[str, ...] = ()
    limits: Mapping[str, "Limit"] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    expert_module: str = "switch_mlp"
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The values of a field under which the runtime's class computes the source's function, and why no others."""

    values: tuple[Any, ...]
    reason: str


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

_MIXTRAL_PER_EXPERT = Provenance(
    order=None, source="transformers 5.23 conversion_mapping: w1, w3 -> gate_up_proj, w2 -> down_proj"
)
_MIXTRAL_FUSED = Provenance(
    order="concatenated",
    source="transformers 5.23 conversion_mapping: w1, w3 -> MergeModulelist, Concatenate(dim=1)",
)
_GRANITE = Provenance(
    order="concatenated", source="transformers 5.23 conversion_mapping: input_linear is gate_up_proj, renamed only"
)
_ONE_GROUP = Limit(
    values=(None, 1),
    reason="mlx-lm masks the experts of excluded groups with 0 where transformers uses minus infinity",
)

# What the config classes of all these families say where a config.json says nothing.
COMMON: Mapping[str, Any] = {
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
    "rope_traditional": False,
}
# And of those whose router takes sigmoid scores with a correction bias.
GROUPED: Mapping[str, Any] = {
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "n_group": 1,
    "topk_group": 1,
}

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="qwen3_moe",
        runtime="qwen3_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": False,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
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
            "B": _MIXTRAL_PER_EXPERT,
            "E": _MIXTRAL_FUSED,
            "M": _MLX,
        },
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
        },
        reference="mixtral",
    ),
    Family(
        model_type="qwen2_moe",
        runtime="qwen2_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
        },
        # The class takes the top-k weights as they are, makes every layer a MoE layer and q, k, v with biases.
        neutral={
            "norm_topk_prob": (False,),
            "decoder_sparse_step": (1,),
            "mlp_only_layers": ([],),
            "qkv_bias": (True,),
        },
        inert=("intermediate_size",),  # of dense layers, which this class has none of
        reference="qwen2_moe",
    ),
    Family(
        model_type="olmoe",
        runtime="olmoe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            "norm_topk_prob": False,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "max_position_embeddings": 4096,
        },
        derived_head_dim=True,
        reference="olmoe",
    ),
    Family(
        model_type="phimoe",
        runtime="phimoe",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"B": _MIXTRAL_PER_EXPERT, "E": _MIXTRAL_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "router_jitter_noise": 0.01,
        },
        # The class always has biases in attention and output layer; without them the cover would fail anyway.
        neutral={"attention_bias": (True,), "lm_head_bias": (True,), "tie_word_embeddings": (False,)},
        renames=((r"\.router\.weight$", ".gate.weight"),),
        reference="phimoe",
    ),
    Family(
        model_type="granitemoe",
        runtime="granitemoe",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"G": _GRANITE, "E": _GRANITE, "M": _MLX},
        defaults={
            **COMMON,
            "num_key_value_heads": 32,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "logits_scaling": 1.0,
            "attention_multiplier": 1.0,
            "embedding_multiplier": 1.0,
            "residual_multiplier": 1.0,
        },
        renames=((r"\.router\.weight$", ".router.layer.weight"),),
        reference="granitemoe",
    ),
    Family(
        model_type="dots1",
        runtime="dots1",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED},
        defaults={
            **COMMON,
            "norm_topk_prob": False,
            "scoring_func": "noaux_tc",
            "routed_scaling_factor": 1.0,
            "n_group": 1,
            "topk_group": 1,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
        },
        derived_head_dim=True,
        limits={"n_group": _ONE_GROUP},
        expert_module="experts",
        neutral={"scoring_func": ("noaux_tc", "sigmoid")},  # the class always takes the sigmoid
        reference="dots1",
    ),
    Family(
        model_type="glm4_moe",
        runtime="glm4_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
        derived_head_dim=True,
        limits={"n_group": _ONE_GROUP},
        # Fine-tunes saved by transformers say so without holding a head; a head's tensors would fail the cover.
        neutral={"num_nextn_predict_layers": (1,)},
        reference="glm4_moe",
    ),
    Family(
        model_type="solar_open",
        runtime="solar_open",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "partial_rotary_factor": 1.0,
            "first_k_dense_replace": 0,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
        },
        limits={"n_group": _ONE_GROUP},
        reference="solar_open",
    ),
    Family(
        model_type="minimax_m2",
        runtime="minimax",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"B": _MIXTRAL_PER_EXPERT, "E": _MIXTRAL_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            "scoring_func": "sigmoid",
            "shared_intermediate_size": 0,
            "use_qk_norm": True,
            "rms_norm_eps": 1e-6,
            "rope_theta": 5000000.0,
        },
        renames=((r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),),
        neutral={"scoring_func": ("sigmoid",), "use_routing_bias": (True,), "shared_intermediate_size": (0,)},
        reference="minimax_m2",
    ),
    Family(
        model_type="exaone_moe",
        runtime="exaone_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED, "M": _MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "rope_parameters": None,
        },
        limits={"n_group": _ONE_GROUP},
        renames=((r"\.mlp\.e_score_correction_bias$", ".mlp.gate.e_score_correction_bias"),),
        neutral={"scoring_func": ("sigmoid",), "topk_method": ("noaux_tc",)},
        # layer_types and is_moe_layer say the same layer by layer, and the class reads those.
        inert=("first_k_dense_replace", "sliding_window_pattern"),
        reference="exaone_moe",
    ),
    Family(
        model_type="afmoe",
        runtime="afmoe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"A": _PER_EXPERT, "E": _QWEN_FUSED},
        defaults={
            **COMMON,
            "score_func": "sigmoid",
            "route_norm": True,
            "n_group": 1,
            "topk_group": 1,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
        },
        limits={"n_group": _ONE_GROUP},
        expert_module="experts",
        inert=("global_attn_every_n_layers",),  # layer_types says the same layer by layer
        reference="afmoe",
    ),
)
BY_MODEL_TYPE: Mapping[str, Family] = {family.model_type: family for family in FAMILIES}
