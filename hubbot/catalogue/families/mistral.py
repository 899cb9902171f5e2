"""Mistral AI: Mixtral, and Mistral 4 with latent attention.

A row knows one model type; it never reads a checkpoint.
"""

from typing import Any

from hubbot.catalogue.families.defaults import COMMON, GREEDY_LATENT
from hubbot.catalogue.families.provenances import MAPPED, MIXTRAL_FUSED, MIXTRAL_PER_EXPERT, MLX, NATIVE_FUSED
from hubbot.catalogue.families.row import Family, Holding, Limit, Recognised
from hubbot.catalogue.reshapes import LATENT_HEADS

_MISTRAL4: dict[str, Any] = {
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": True,
    "layouts": {"stacked_fused": NATIVE_FUSED, "mlx_switch": MLX},
    "always": {"attention": "latent"},
    "defaults": {
        **COMMON,
        **GREEDY_LATENT,
        "norm_topk_prob": True,
        "rope_interleave": True,
        "kv_lora_rank": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 4,
        "num_key_value_heads": 32,
        "q_lora_rank": 1024,
        "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    },
    "keeps_rope_parameters": True,
    "limits": {
        "rope_parameters": Limit(
            values=Holding(keys=frozenset({"llama_4_scaling_beta", "original_max_position_embeddings"})),
            reason="mlx-lm's class scales queries by llama_4_scaling_beta",
        )
    },
    "rope_reads": ("llama_4_scaling_beta", "partial_rotary_factor"),
    "reshapes": (LATENT_HEADS,),
}


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="mixtral",
        runtime="mixtral",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        renormalises_one_expert=True,
        layouts={
            "per_expert_w": MIXTRAL_PER_EXPERT,
            "stacked_fused": MIXTRAL_FUSED,
            "mlx_switch": MLX,
        },
        always={"renormalised": True},
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "num_experts_per_tok": 2,
        },
        module_names=(("block_sparse_moe", "mlp"),),
    ),
    Family(model_type="mistral4", runtime="mistral4", **_MISTRAL4),
    # Mistral Small 4 as published, in a model that also sees; around a dense decoder it is no Mixture of Experts.
    Family(
        model_type="mistral3",
        runtime="mistral3",
        text_args="mistral4.ModelArgs",
        text_type="mistral4",
        text_types=("mistral4",),
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
        ),
        tower="mlx-vlm's class keeps kv_b_proj whole, and mlx-lm's in two parts",
        **_MISTRAL4,
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="mistral_large4", layouts={"per_expert_w": MAPPED, "stacked_fused": MAPPED}),
    Recognised(model_type="mistral_large4_text", layouts={"per_expert_w": MAPPED, "stacked_fused": MAPPED}),
    Recognised(
        model_type="llava",
        layouts={},
        reason="a dense decoder in a model that sees; mlx-lm loads it by the file of Mistral's",
        waits=False,
    ),
)
