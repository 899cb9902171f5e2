"""JetBrains: Mellum.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Including, Limit

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="mellum",
        runtime="mellum",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"dense_layers": "none", "qk_norm": "per_head"},
        defaults={
            **COMMON,
            "norm_topk_prob": True,
            "rms_norm_eps": 1e-6,
            "sliding_window": 1024,
            "head_dim": 128,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 4,
        },
        limits={
            "layer_types": Limit(
                values=Including(kinds=frozenset({"full_attention", "sliding_attention"})),
                reason="mlx-lm's class looks for the first layer of each kind",
            )
        },
        keeps_rope_parameters=True,
        rope_kinds=("yarn", "llama3"),
    ),
)
