"""Families whose attention compresses keys and values into a latent (MLA).

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import MLX, NATIVE_FUSED, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Holding, Limit, Provenance
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS, latent_norms

_LAYOUTS: Mapping[str, Provenance] = {"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX}
_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    **GROUPED,
    "norm_topk_prob": True,
    "moe_layer_freq": 1,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
_GREEDY: Mapping[str, Any] = {
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 1.0,
    "first_k_dense_replace": 0,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}


def _deepseek(model_type: str, **changes: Any) -> Family:
    row: dict[str, Any] = {
        "model_type": model_type,
        "runtime": "deepseek_v3",
        "blocks": ("mlp",),
        "runtime_block": "mlp",
        "layouts": _LAYOUTS,
        "defaults": _DEFAULTS,
        "reshapes": (LATENT_HEADS, GROUPED_BIAS),
        "always": {"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        "reference": model_type,
    }
    return Family(**{**row, **changes})


LATENT_ATTENTION: tuple[Family, ...] = (
    _deepseek("deepseek_v3"),
    # Kimi K2 is DeepSeek-V3's class with other numbers; its own name would hide the tokenizer's class.
    _deepseek("kimi_k2", source_type="deepseek_v3"),
    Family(
        model_type="deepseek_v2",
        runtime="deepseek_v2",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts=_LAYOUTS,
        defaults={
            **COMMON,
            **_GREEDY,
            "topk_method": "greedy",
            "moe_layer_freq": 1,
        },
        # The class reads a scaling in every case: by factor 1 it is none.
        rope_kinds=("yarn",),
        unscaled_rope={"type": "yarn", "factor": 1.0, "mscale": 0.0, "mscale_all_dim": 0.0},
        always={"attention": "latent", "renormalised": False, "rope": "neighbours"},
        reference="deepseek_v2",
    ),
    _deepseek(
        "deepseek_v32",
        runtime="deepseek_v32",
        defaults={**_DEFAULTS, "indexer_rope_interleave": False},
    ),
    _deepseek(
        "glm_moe_dsa",
        runtime="glm_moe_dsa",
        defaults={**_DEFAULTS, "rms_norm_eps": 1e-5, "indexer_rope_interleave": True},
        keeps_rope_parameters=True,
    ),
    _deepseek(
        "glm4_moe_lite",
        runtime="glm4_moe_lite",
        defaults={**_DEFAULTS, "rms_norm_eps": 1e-5, "first_k_dense_replace": 1, "partial_rotary_factor": 1.0},
        reshapes=(LATENT_HEADS, GROUPED_BIAS, *latent_norms(lambda config: float(config["rms_norm_eps"]))),
    ),
    Family(
        model_type="mistral4",
        runtime="mistral4",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"stacked_fused": NATIVE_FUSED, "mlx_switch": MLX},
        defaults={**COMMON, **_GREEDY, "norm_topk_prob": True, "rope_interleave": True},
        keeps_rope_parameters=True,
        limits={
            "rope_parameters": Limit(
                values=Holding(keys=frozenset({"llama_4_scaling_beta", "original_max_position_embeddings"})),
                reason="mlx-lm's class scales queries by llama_4_scaling_beta",
            )
        },
        rope_reads=("llama_4_scaling_beta", "partial_rotary_factor"),
        reshapes=(LATENT_HEADS,),
        always={"attention": "latent"},
        reference="mistral4",
    ),
    Family(
        model_type="longcat_flash",
        runtime="longcat_flash",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts=_LAYOUTS,
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
        },
        # The class norms latents with MLX's own 1e-5 (models/longcat_flash.py).
        reshapes=(LATENT_HEADS, *latent_norms(lambda _config: 1e-5)),
        always={"attention": "latent", "selection": "biased", "rope": "neighbours"},
        reference="longcat_flash",
    ),
)
