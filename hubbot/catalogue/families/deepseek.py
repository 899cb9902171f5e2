"""DeepSeek: the first MoE, then V2, V3 and V3.2, whose attention compresses keys and values into a latent (MLA).

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.families.defaults import COMMON, GREEDY_LATENT, LATENT
from hubbot.catalogue.families.provenances import (
    BY_CLASS,
    MAPPED,
    MLX,
    PER_EXPERT,
    QWEN_FUSED,
    UNPROVEN,
)
from hubbot.catalogue.families.row import Family, Limit, Recognised, TiktokenSpecials
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS


class _Linear:
    """The rope_scaling values that DeepSeek's first class computes: none, or "linear" by a float."""

    def __contains__(self, value: object) -> bool:
        if value is None:
            return True
        return (
            isinstance(value, Mapping) and value.get("type") == "linear" and isinstance(value.get("factor"), float)
        )


_FIRST_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "moe_layer_freq": 1,
}
_FIRST: dict[str, Any] = {
    "runtime": "deepseek",
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": False,
    "always": {"renormalised": False, "scaled": 1.0, "groups": (None, 1), "chosen_groups": (None, 1)},
    "limits": {
        "rope_scaling": Limit(
            values=_Linear(), reason="mlx-lm's deepseek class computes no scaling of rope but linear by a float"
        ),
    },
}

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="deepseek",
        layouts={"per_expert": PER_EXPERT, "mlx_switch": MLX},
        transformers_type="deepseek_ocr2_text",
        default_source="DeepSeek",
        defaults={**_FIRST_DEFAULTS, "first_k_dense_replace": 0, "n_shared_experts": None},
        **_FIRST,
    ),
    # The text of DeepSeek-OCR-2, as transformers has it.
    Family(
        model_type="deepseek_ocr2",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        text_types=("deepseek_ocr2_text",),
        defaults={**_FIRST_DEFAULTS, "n_shared_experts": 2},
        renames=((r"^model\.language_model\.", "model."),),
        **_FIRST,
    ),
    Family(
        model_type="deepseek_v2",
        runtime="deepseek_v2",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "renormalised": False, "rope": "neighbours"},
        defaults={
            **COMMON,
            **GREEDY_LATENT,
            "topk_method": "greedy",
            "moe_layer_freq": 1,
            "kv_lora_rank": 512,
            "n_shared_experts": 2,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
        # The class reads a scaling in every case: by factor 1 it is none.
        rope_kinds=("yarn",),
        unscaled_rope={"type": "yarn", "factor": 1.0, "mscale": 0.0, "mscale_all_dim": 0.0},
    ),
    Family(
        model_type="deepseek_v3",
        runtime="deepseek_v3",
        tiktoken=TiktokenSpecials(count=258, only_by_class=True),  # Moonlight's
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
            **COMMON,
            **LATENT,
            "n_group": 8,
            "topk_group": 4,
            "rms_norm_eps": 1e-6,
            "first_k_dense_replace": 3,
            "kv_lora_rank": 512,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 128,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 2.5,
            "v_head_dim": 128,
        },
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
    ),
    Family(
        model_type="deepseek_v32",
        runtime="deepseek_v32",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
            **COMMON,
            **LATENT,
            "n_group": 8,
            "topk_group": 4,
            "rms_norm_eps": 1e-6,
            "indexer_rope_interleave": False,
            "first_k_dense_replace": 3,
            "index_head_dim": 128,
            "index_n_heads": 64,
            "index_topk": 2048,
            "kv_lora_rank": 512,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 128,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 2.5,
            "v_head_dim": 128,
        },
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="deepseek_v4", layouts={"per_expert_w": MAPPED, "stacked_fused": MAPPED}),
    Recognised(model_type="deepseek_v41", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
)
