"""Meta: Llama 4, as text decoder and inside the model that also sees.

A row knows one model type; it never reads a checkpoint.
"""

from typing import Any

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import ENCODER, LLAMA4, MAPPED, MLX_EXPERTS, PART
from hubbot.catalogue.families.row import Between, Family, Limit, Recognised

_LLAMA4: dict[str, Any] = {
    "always": {
        "scores": "sigmoid",
        "renormalised": False,
        "no_rope_every": 4,
        "shared_experts": 1,
        "sparse_step": None,
    },
    "runtime": "llama4",
    "blocks": ("feed_forward",),
    "runtime_block": "feed_forward",
    "renormalises_one_expert": False,
    "layouts": {"stacked_fused_transposed": LLAMA4, "mlx_experts": MLX_EXPERTS},
    "expert_module": "experts",
    "text_args": "llama4.TextArgs",
    "text_type": "llama4_text",
    "defaults": {
        **COMMON,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "use_qk_norm": True,
        "interleave_moe_layer_step": 1,
        "attn_temperature_tuning": True,
        "floor_scale": 8192,
        "attn_scale": 0.1,
        "attention_chunk_size": 8192,
        "head_dim": 128,
        "num_experts_per_tok": 1,
        "num_key_value_heads": 8,
    },
    "limits": {
        "rms_norm_eps": Limit(
            values=Between(least=0, most=1e-5),
            reason="mlx-lm's class normalises queries and keys with 1e-6 whatever the config says",
        )
    },
}

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="llama4",
        **_LLAMA4,
    ),
    Family(
        model_type="llama4_text",
        renames=((r"^", "language_model."),),
        **_LLAMA4,
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(
        model_type="muse_spark",
        layouts={"stacked_fused": MAPPED},
        reason="mlx-lm's class computes by Metal kernels alone, so that no other machine can prove it",
    ),
    Recognised(model_type="nllb-moe", layouts={"gateless": MAPPED}, reason=ENCODER, waits=False),
    Recognised(model_type="muse_spark_text", layouts={}, reason=PART, waits=False),
)
