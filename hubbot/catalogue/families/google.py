"""Google: Gemma 4, as text decoder and inside the model that also sees.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derivation, Derived, copied, first
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import APART, ENCODER, MAPPED, NATIVE_FUSED, PART
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.towers import Tower


def _of_full_layers(key: str) -> Derivation:
    """Return the derivation of a value that transformers 5 keeps in per_layer_config for full attention."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        layers, kinds = config.get("per_layer_config"), config.get("layer_types")
        if not isinstance(layers, Mapping) or not isinstance(kinds, list):
            return None
        full = {str(index) for index, kind in enumerate(kinds) if kind == "full_attention"}
        known = {"head_dim", "num_key_value_heads"}
        if set(layers) != full or not all(
            isinstance(one, Mapping) and set(one) <= known for one in layers.values()
        ):
            return None
        values = {one.get(key) for one in layers.values()}
        return Derived(value=values.pop(), keys=("per_layer_config",)) if len(values) == 1 else None

    return derive


_GEMMA4: dict[str, Any] = {
    "always": {"activation": "gelu_tanh", "qk_norm": "per_head", "renormalised": True},
    "blocks": ("",),
    "runtime_block": "",
    "renormalises_one_expert": True,
    "layouts": {"per_expert": APART, "stacked_fused": NATIVE_FUSED},
    "expert_module": "experts.switch_glu",
    "defaults": {
        **COMMON,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "global_head_dim": 512,
        "num_global_key_value_heads": None,
        "final_logit_softcapping": None,
        "use_double_wide_mlp": False,
        "enable_moe_block": False,
        "attention_k_eq_v": False,
        "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 256,
        "pad_token_id": 0,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "partial_rotary_factor": 1.0,
        "global_partial_rotary_factor": 0.25,
        "head_dim": 256,
        "num_key_value_heads": 4,
    },
    "derived": {
        "global_head_dim": first(_of_full_layers("head_dim"), copied("global_head_dim")),
        "num_global_key_value_heads": first(
            _of_full_layers("num_key_value_heads"), copied("num_global_key_value_heads")
        ),
    },
    "keeps_rope_parameters": True,
}

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="gemma4",
        runtime="gemma4",
        text_args="gemma4_text.ModelArgs",
        text_type="gemma4_text",
        renames=((r"^model\.language_model\.", "language_model.model."),),
        tower=Tower(
            renames=((r"^(?:model\.)?(vision_tower|embed_vision)\.", r"\1."),),
            left_out=(
                (r"(?:model\.)?(?:audio_tower|embed_audio)\..+", "a part that hears; only what sees is kept"),
            ),
            outer=(
                "image_token_id",
                "video_token_id",
                "boi_token_id",
                "eoi_token_id",
                "vision_soft_tokens_per_image",
            ),
        ),
        **_GEMMA4,
    ),
    Family(model_type="gemma4_text", runtime="gemma4_text", **_GEMMA4),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="diffusion_gemma", layouts={"stacked_fused": MAPPED}),
    Recognised(model_type="switch_transformers", layouts={"gateless": MAPPED}, reason=ENCODER, waits=False),
    Recognised(model_type="diffusion_gemma_text", layouts={}, reason=PART, waits=False),
    Recognised(
        model_type="gemma4_unified",
        layouts={"stacked_fused": NATIVE_FUSED},
        reason="mlx-lm loads it as gemma4; no reference made by transformers is committed",
    ),
)
