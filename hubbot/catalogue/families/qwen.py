"""Qwen (Alibaba): Qwen2 and Qwen3 MoE, Qwen3-VL, and Qwen3-Next and 3.5 with gated delta nets.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.nesting import decoder
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import (
    APART,
    MAPPED,
    MAPPED_GATE_FIRST,
    MLX,
    NATIVE_FUSED,
    PART,
    PER_EXPERT,
    QWEN3_VL,
    QWEN3_VL_TRANSPOSED,
    QWEN_FUSED,
    VEOMNI,
)
from hubbot.catalogue.families.row import Family, Limit, Recognised
from hubbot.catalogue.reshapes import CONVOLUTION, plus_one
from hubbot.catalogue.towers import Tower

_AROUND_ZERO = plus_one(
    r".*(?:input_layernorm|post_attention_layernorm|model\.norm|\.q_norm|\.k_norm)\.weight",
    "Qwen3-Next stores its norms less one (transformers 5.23, Qwen3NextRMSNorm); mlx-lm's class multiplies them",
)
_GATED_DELTA_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "partial_rotary_factor": 0.25,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
_GATED_DELTA: dict[str, Any] = {
    "always": {"qk_norm": "per_head", "attention_gate": "elementwise"},
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": True,
    "derived_head_dim": True,
    "reshapes": (CONVOLUTION, _AROUND_ZERO),
}
_QWEN_35: dict[str, Any] = {
    **_GATED_DELTA,
    "runtime": "qwen3_5_moe",
    "layouts": {"per_expert": PER_EXPERT, "stacked": VEOMNI, "stacked_fused": NATIVE_FUSED, "mlx_switch": MLX},
    "defaults": {
        **_GATED_DELTA_DEFAULTS,
        "intermediate_size": 0,
        "head_dim": 256,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 2,
    },
    "text_args": "qwen3_5.TextModelArgs",
    "text_type": "qwen3_5_moe_text",
}

# What mlx-vlm reads of a rope that turns by place in the picture, too.
_MROPE = ("mrope_section", "mrope_interleaved", "partial_rotary_factor", "rope_theta")
_SEES: dict[str, Any] = {
    "renames": ((r"^(?:model\.)?visual\.", "vision_tower."),),
    "convolutions": r"vision_tower\.patch_embed\.proj\.weight",
    "outer": ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"),
}


def _mrope(config: Mapping[str, Any], section: Sequence[int], *needless: str) -> dict[str, Any]:
    """Return the rope of the text decoder of `config` in the spelling that both runtimes read.

    `section` is transformers' where the config has none.
    """
    rope = ropes.flat(decoder(config))
    kept = {key: rope[key] for key in _MROPE if key in rope and key not in needless}
    # Published configs call the plain rope "mrope" or "default".
    kind = "default" if rope["rope_type"] == "mrope" else rope["rope_type"]
    return {"mrope_section": list(section), "mrope_interleaved": True, **kept, "type": kind, "rope_type": kind}


def _qwen_35_text(config: Mapping[str, Any]) -> dict[str, Any]:
    rope = {
        "partial_rotary_factor": _GATED_DELTA_DEFAULTS["partial_rotary_factor"],
        **_mrope(config, (11, 11, 10)),
    }
    return {"rope_parameters": rope, "rope_scaling": rope}


def _qwen3_vl_text(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"rope_scaling": _mrope(config, (24, 20, 20), "rope_theta", "partial_rotary_factor")}


_QWEN3_OMNI: dict[str, Any] = {
    "runtime": "qwen3_moe",
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": True,
    "always": {"qk_norm": "per_head"},
    "defaults": {
        **COMMON,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 4,
    },
    "derived_head_dim": True,
    "text_types": ("qwen3_omni_moe_text",),
    "renames": ((r"^thinker\.", ""), (r"^model\.language_model\.", "model.")),
}

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="qwen2_moe",
        runtime="qwen2_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"renormalised": False, "dense_layers": "none", "qkv_bias": True},
        defaults={
            **COMMON,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "num_experts_per_tok": 4,
        },
    ),
    Family(
        model_type="qwen3_moe",
        taken_by={
            "transformers 5": ("per_expert", "stacked_fused"),
            "VeOmni": ("stacked",),
            "mlx-lm": ("per_expert",),
        },
        runtime="qwen3_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked": VEOMNI, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"qk_norm": "per_head"},
        defaults={
            **COMMON,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": False,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 4,
        },
        derived_head_dim=True,
    ),
    Family(
        model_type="qwen3_vl_moe",
        taken_by={
            "transformers 5": ("stacked_fused_transposed", "stacked_fused"),
            "VeOmni": ("stacked",),
            "mlx-lm": ("stacked_fused_transposed",),
            "mlx-vlm": ("stacked_fused_transposed",),
        },
        runtime="qwen3_vl_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={
            "per_expert": APART,
            "stacked": VEOMNI,
            "stacked_fused": QWEN3_VL,
            "stacked_fused_transposed": QWEN3_VL_TRANSPOSED,
            "mlx_switch": MLX,
        },
        text_args="qwen3_moe.ModelArgs",
        text_type="qwen3_vl_moe_text",
        always={"qk_norm": "per_head"},
        defaults={
            **COMMON,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": True,  # transformers' class always renormalises
            "rms_norm_eps": 1e-6,
            "rope_theta": 500000.0,
            "num_experts_per_tok": 4,
            "num_key_value_heads": 16,
        },
        derived_head_dim=True,
        limits={
            "tie_word_embeddings": Limit(
                values=(False,), reason="mlx-lm's class asks for an output layer of its own"
            )
        },
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
        ),
        tower=Tower(
            **_SEES,
            text=_qwen3_vl_text,
            vision=lambda config: {"model_type": config["model_type"]},
            differences=(
                "the tower's blocks and mergers have each other's GELU: logits of a tiny reference differ by 3e-4",
            ),
        ),
    ),
    # Qwen3-Omni, of which the thinker writes; it may also stand alone.
    Family(
        model_type="qwen3_omni_moe",
        layouts={"per_expert": PER_EXPERT, "mlx_switch": MLX},
        transformers_type="qwen3_omni_moe_thinker",
        **_QWEN3_OMNI,
    ),
    Family(
        model_type="qwen3_omni_moe_thinker",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        **_QWEN3_OMNI,
    ),
    Family(
        model_type="qwen3_next",
        runtime="qwen3_next",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **_GATED_DELTA_DEFAULTS,
            "mlp_only_layers": [],
            "head_dim": 256,
            "num_experts_per_tok": 10,
            "num_key_value_heads": 2,
        },
        **_GATED_DELTA,
    ),
    Family(
        model_type="qwen3_5_moe",
        taken_by={
            "transformers 5": ("per_expert", "stacked_fused"),
            "VeOmni": ("stacked",),
            "mlx-lm": ("per_expert", "stacked_fused"),
            "mlx-vlm": ("per_expert", "stacked_fused"),
        },
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
        ),
        tower=Tower(**_SEES, text=_qwen_35_text),
        **_QWEN_35,
    ),
    Family(
        model_type="qwen3_5_moe_text",
        renames=((r"^", "language_model."),),
        **_QWEN_35,
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="qwen4_exp", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    Recognised(model_type="qwen4_exp_text", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    Recognised(model_type="qwen3_vl_moe_text", layouts={}, reason=PART, waits=False),
    Recognised(model_type="qwen3_omni_moe_text", layouts={}, reason=PART, waits=False),
    Recognised(model_type="qwen3_omni_moe_talker_text", layouts={}, reason=PART, waits=False),
    Recognised(model_type="qwen3_5", layouts={}, reason="a dense model; its file in mlx-lm serves the MoE, too"),
)
