"""Meta: Llama 4, as text decoder and inside the model that also sees.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import APART, ENCODER, LLAMA4, MAPPED, MLX_EXPERTS, PART
from hubbot.catalogue.families.row import Between, Family, Limit, Recognised
from hubbot.catalogue.towers import Tower


def _llama4_vision(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what mlx-vlm's class needs and transformers 5 leaves out or spells otherwise."""
    vision = config["vision_config"]
    return {
        "rope_theta": ropes.flat(vision).get("rope_theta", 10000.0),
        "vision_feature_layer": vision.get("vision_feature_layer", -1),
        "vision_feature_select_strategy": vision.get("vision_feature_select_strategy", "default"),
    }


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
    "layouts": {"per_expert": APART, "stacked_fused_transposed": LLAMA4, "mlx_experts": MLX_EXPERTS},
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
        tower=Tower(
            renames=((r"^(?:model\.)?(vision_model|multi_modal_projector)\.", r"\1."),),
            outer=("image_token_index", "image_token_id", "boi_token_index", "eoi_token_index"),
            vision=_llama4_vision,
            differences=(
                "the tower's GELU is taken as x sigmoid(1.702 x): logits of a tiny reference differ by up to 6e-2",
            ),
        ),
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
