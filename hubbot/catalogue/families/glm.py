"""GLM (Z.ai): GLM-4.5 and its kin, and GLM with latent and with indexed attention.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON, GROUPED, LATENT
from hubbot.catalogue.families.provenances import MAPPED, MAPPED_GATE_FIRST, MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS, LATENT_NORMS

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="glm4_moe",
        runtime="glm4_moe",
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
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "first_k_dense_replace": 1,
            "n_shared_experts": 1,
            "norm_topk_prob": True,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
            "routed_scaling_factor": 1.0,
        },
        derived_head_dim=True,
        reshapes=(GROUPED_BIAS,),
    ),
    Family(
        model_type="glm4_moe_lite",
        runtime="glm4_moe_lite",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
            **COMMON,
            **LATENT,
            "rms_norm_eps": 1e-5,
            "first_k_dense_replace": 1,
            "partial_rotary_factor": 1.0,
            "attention_dropout": 0.0,
            "kv_lora_rank": 512,
            "n_shared_experts": 1,
            "num_experts_per_tok": 4,
            "num_key_value_heads": 20,
            "q_lora_rank": 768,
            "qk_nope_head_dim": 192,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 1.8,
            "v_head_dim": 256,
        },
        reshapes=(LATENT_HEADS, GROUPED_BIAS, *LATENT_NORMS),
    ),
    Family(
        model_type="glm_moe_dsa",
        runtime="glm_moe_dsa",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
            **COMMON,
            **LATENT,
            "rms_norm_eps": 1e-5,
            "indexer_rope_interleave": True,
            "first_k_dense_replace": 3,
            "index_head_dim": 128,
            "index_n_heads": 32,
            "index_topk": 2048,
            "kv_lora_rank": 512,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 64,
            "q_lora_rank": 2048,
            "qk_nope_head_dim": 192,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 2.5,
            "v_head_dim": 256,
        },
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
        keeps_rope_parameters=True,
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="glm4v_moe", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    Recognised(model_type="glm5_next", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    Recognised(model_type="glm5_next_text", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
)
