"""Ai2 (Allen Institute for AI): OLMoE.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MAPPED, MAPPED_GATE_FIRST, MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Recognised

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="olmoe",
        runtime="olmoe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"qk_norm": "per_layer"},
        defaults={
            **COMMON,
            "norm_topk_prob": False,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "max_position_embeddings": 4096,
            "num_experts_per_tok": 8,
        },
        derived_head_dim=True,
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="flex_olmo", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
)
