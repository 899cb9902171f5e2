"""OpenAI: gpt-oss.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import copied, first, periodic
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import GPT_OSS, GPT_OSS_PACKED, MAPPED, MLX_EXPERTS
from hubbot.catalogue.families.row import Family, Recognised

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="gpt_oss",
        runtime="gpt_oss",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"stacked_fused_transposed": GPT_OSS, "stacked_fused": GPT_OSS_PACKED, "mlx_experts": MLX_EXPERTS},
        expert_module="experts",
        # As transformers' config class does, where a config leaves the list out.
        derived={
            "layer_types": first(
                copied("layer_types"),
                periodic(None, nth="full_attention", others="sliding_attention", default=2),
            )
        },
        always={"attention_bias": True, "swiglu_limit": 7.0, "swiglu_alpha": 1.702, "renormalised": True},
        defaults={
            **COMMON,
            "rms_norm_eps": 1e-5,
            "rope_theta": 150000.0,
            "sliding_window": 128,
            "head_dim": 64,
            "num_experts_per_tok": 4,
            "num_key_value_heads": 8,
        },
        # The published models say `truncate: false`, which comes to 2.2e-4 radians a token.
        rope_drift=3e-4,
        rope_is_scaled=True,
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(
        model_type="openai_privacy_filter",
        layouts={"stacked_fused_transposed": MAPPED},
        reason="it labels tokens and generates no text",
        waits=False,
    ),
)
