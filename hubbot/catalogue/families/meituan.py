"""Meituan: LongCat-Flash, with latent attention and experts that return what they are given.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.provenances import BY_CLASS, MLX, PER_EXPERT, QWEN_FUSED, UNPROVEN
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import LATENT_HEADS, latent_norms

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="longcat_flash",
        runtime="longcat_flash",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "selection": "biased", "rope": "neighbours"},
        defaults={
            "attention_method": "MLA",
            "zero_expert_type": "identity",
            "mla_scale_q_lora": True,
            "mla_scale_kv_lora": True,
            "attention_bias": False,
            "norm_topk_prob": False,
            "router_bias": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000000.0,
            "kv_lora_rank": 512,
            "moe_topk": 12,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 6.0,
            "v_head_dim": 128,
        },
        # The class norms latents with MLX's own 1e-5 (models/longcat_flash.py).
        reshapes=(LATENT_HEADS, *latent_norms(lambda _config: 1e-5)),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="longcat_flash_ngram", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
)
