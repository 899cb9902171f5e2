"""Baidu: ERNIE 4.5, on a model class of hubbot's own.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MAPPED, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family, Recognised

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="ernie4_5_moe",
        runtime="ernie4_5_moe",
        extension=Extension(
            file="ernie4_5_moe.py",
            reason="mlx-lm's ernie4_5_moe class throws away the router's correction biases and so chooses other "
            "experts",
        ),
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        always={"selection": "biased", "renormalised": True},
        defaults={
            **COMMON,
            "tie_word_embeddings": True,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "use_bias": False,
            "moe_num_experts": 64,
            "moe_num_shared_experts": 2,
            "moe_intermediate_size": 1536,
            "moe_k": 6,
            "moe_norm_min": 1e-12,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": -1,
            "moe_layer_interval": 1,
        },
        derived_head_dim=True,
        renames=((r"\.mlp\.(?:gate\.)?moe_statics\.e_score_correction_bias$", ".mlp.expert_bias"),),
        module_names=(("mlp.moe_statics", "mlp.gate.moe_statics"),),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(
        model_type="ernie4_5_vl_moe",
        layouts={"per_expert": MAPPED},
        reason="text and vision experts stand in one list",
    ),
)
