"""Upstage: Solar Open.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family
from hubbot.catalogue.reshapes import GROUPED_BIAS

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="solar_open",
        runtime="solar_open",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased"},
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
            "head_dim": 128,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
        },
        reshapes=(GROUPED_BIAS,),
    ),
)
