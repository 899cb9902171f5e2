"""MoE model types that hubbot knows of and does not convert: how they store their experts, and what is missing.

A type that mlx-lm has no class for waits for one; any other says here why nothing proves its conversion. What
becomes a row of the families leaves this list.
"""

from dataclasses import dataclass

_UNPROVEN = "mlx-lm has a class, but transformers 5.23 builds no model of this type to prove it against"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """One model type: `layouts` are rows of the layout catalogue, empty where no row reads its experts.

    `reason` says what is in the way where mlx-lm has a class for it; `source` where its layout is known from.
    """

    model_type: str
    layouts: tuple[str, ...]
    reason: str
    source: str


def _mapped(
    model_type: str, *layouts: str, reason: str = "no reference made by transformers is committed"
) -> Recognised:
    return Recognised(
        model_type=model_type,
        layouts=layouts,
        reason=reason,
        source="transformers 5.23 conversion_mapping and experts' modules",
    )


def _by_class(model_type: str, *layouts: str) -> Recognised:
    return Recognised(model_type=model_type, layouts=layouts, reason=_UNPROVEN, source="mlx-lm 0.32.2's class")


RECOGNISED: tuple[Recognised, ...] = (
    *(
        _mapped(model_type, "per_expert", "stacked_fused")
        for model_type in (
            "axk1", "axk2", "beam", "cohere2_moe", "deepseek_ocr2", "flex_olmo", "flint", "glm4v_moe", "glm5_next",
            "glm5_next_text", "hy_v3", "kimi_k25", "kolibri1", "qwen3_omni_moe", "qwen3_omni_moe_text",
            "qwen3_omni_moe_thinker", "qwen4_exp_text",
        )
    ),
    *(
        _mapped(model_type, "per_expert_w", "stacked_fused")
        for model_type in ("deepseek_v4", "minimax", "mistral_large4", "mistral_large4_text")
    ),
    *(
        _mapped(model_type, "stacked_fused")
        for model_type in ("diffusion_gemma", "granitemoe_swa", "hy_v4", "muse_spark", "zaya")
    ),
    *(_mapped(model_type, "w13") for model_type in ("inkling_mm_model", "inkling2_text")),
    _mapped("openai_privacy_filter", "stacked_fused_transposed"),
    _mapped("dots3_note_vision_encoder", "per_expert_fc"),
    _mapped("step3p7", reason="experts are stacked under moe., which no row reads"),
    _mapped("aria_text", reason="experts are stacked as fc1 and fc2, transposed, which no row reads"),
    _mapped("nemo_speechlm", reason="experts are stacked as gate_and_up_projs, transposed, which no row reads"),
    _mapped("ernie4_5_vl_moe", "per_expert", reason="text and vision experts stand in one list"),
    _mapped("jetmoe", reason="parallel experts of attention and MLP; no row reads them"),
    _mapped("switch_transformers", "gateless", reason="an encoder-decoder"),
    _mapped("nllb_moe", "gateless", reason="an encoder-decoder"),
    *(
        _by_class(model_type, "per_expert")
        for model_type in (
            "Klear", "bailing_moe", "bailing_moe_linear", "deepseek", "deepseek_v41", "kimi_k3", "step3p5",
        )
    ),
    _by_class("phixtral", "per_expert_fc"),
)  # fmt: skip
