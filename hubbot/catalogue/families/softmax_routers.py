"""Families whose router takes the softmax of the scores and then the best experts, with plain attention.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import flat_attention, flat_experts
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import (
    DBRX,
    GRANITE,
    MIXTRAL_FUSED,
    MIXTRAL_PER_EXPERT,
    MLX,
    PER_EXPERT,
    QWEN_FUSED,
)
from hubbot.catalogue.families.row import Family, Limit
from hubbot.catalogue.reshapes import DBRX_EXPERTS

SOFTMAX_ROUTERS: tuple[Family, ...] = (
    Family(
        model_type="qwen3_moe",
        runtime="qwen3_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": False,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
        },
        derived_head_dim=True,
        always={"qk_norm": "per_head"},
        reference="qwen3_moe",
    ),
    Family(
        model_type="mixtral",
        runtime="mixtral",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={
            "per_expert_w": MIXTRAL_PER_EXPERT,
            "stacked_fused": MIXTRAL_FUSED,
            "mlx_switch": MLX,
        },
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
        },
        always={"renormalised": True},
        reference="mixtral",
    ),
    Family(
        model_type="qwen2_moe",
        runtime="qwen2_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
        },
        always={"renormalised": False, "dense_layers": "none", "qkv_bias": True},
        reference="qwen2_moe",
    ),
    Family(
        model_type="olmoe",
        runtime="olmoe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "norm_topk_prob": False,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "max_position_embeddings": 4096,
        },
        derived_head_dim=True,
        always={"qk_norm": "per_layer"},
        reference="olmoe",
    ),
    Family(
        model_type="phimoe",
        runtime="phimoe",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "router_jitter_noise": 0.01,
        },
        limits={
            "num_experts_per_tok": Limit(
                values=(2,), reason="transformers' router takes two experts whatever the config says"
            )
        },
        renames=((r"\.router\.weight$", ".gate.weight"),),
        always={"norm": "layer", "scores": "sparsemixer", "attention_bias": True, "output_bias": True},
        reference="phimoe",
    ),
    Family(
        model_type="dbrx",
        runtime="dbrx",
        blocks=("ffn",),
        runtime_block="ffn",
        layouts={"flat": DBRX},
        defaults={},
        derived={"attn_config": flat_attention, "ffn_config": flat_experts},
        reshapes=DBRX_EXPERTS,
        always={"norm": "layer", "renormalised": True},
        reference="dbrx",
    ),
    Family(
        model_type="granitemoe",
        runtime="granitemoe",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"granite_fused": GRANITE, "stacked_fused": GRANITE, "mlx_switch": MLX},
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
        always={"renormalised": True},
        reference="granitemoe",
    ),
)
