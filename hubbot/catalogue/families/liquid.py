"""Liquid AI: LFM2, which mixes attention with convolutions.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derived
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MIXTRAL_FUSED, MIXTRAL_PER_EXPERT, MLX
from hubbot.catalogue.families.row import Family
from hubbot.catalogue.reshapes import CONVOLUTION


def _full_attention_layers(config: Mapping[str, Any]) -> Derived | None:
    """The numbers of the layers with attention; the others are convolutions."""
    kinds, numbers = config.get("layer_types"), config.get("full_attn_idxs")
    # mlx-lm's class looks for the first layer of each kind, so both must be there.
    if isinstance(kinds, list) and set(kinds) == {"full_attention", "conv"}:
        found = [index for index, kind in enumerate(kinds) if kind == "full_attention"]
        return Derived(value=found, keys=("layer_types", "full_attn_idxs"))
    return Derived(value=numbers, keys=("full_attn_idxs",)) if isinstance(numbers, list) else None


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="lfm2_moe",
        runtime="lfm2_moe",
        blocks=("feed_forward",),
        runtime_block="feed_forward",
        renormalises_one_expert=True,
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "tied": True, "qk_norm": "per_head"},
        defaults={
            **COMMON,
            "norm_topk_prob": True,
            "use_expert_bias": True,
            "conv_bias": False,
            "norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "tie_word_embeddings": True,
            "conv_L_cache": 3,
            "num_dense_layers": 2,
            "num_experts_per_tok": 4,
            "num_key_value_heads": 8,
            "routed_scaling_factor": 1.0,
        },
        renames=(
            (r"\.w1\.weight$", ".gate_proj.weight"),
            (r"\.w2\.weight$", ".down_proj.weight"),
            (r"\.w3\.weight$", ".up_proj.weight"),
        ),
        derived={"full_attn_idxs": _full_attention_layers},
        reshapes=(CONVOLUTION,),
    ),
)
