"""Baidu: ERNIE 4.5, alone and in the model that sees, on a model class of hubbot's own.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derived
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family
from hubbot.catalogue.reshapes import Piece, Reshape, transposed, whole


def _width_for_text(config: Mapping[str, Any]) -> Derived | None:
    """The width of the experts for text, the first of two."""
    value = config.get("moe_intermediate_size")
    if isinstance(value, list) and len(value) == 2:
        return Derived(value=value[0], keys=("moe_intermediate_size",))
    return Derived(value=value, keys=("moe_intermediate_size",)) if isinstance(value, int) else None


def _sparse(config: Mapping[str, Any]) -> list[int] | None:
    """The numbers of the layers with experts, where no other layer lies between them."""
    kinds = config.get("mlp_layer_types")
    numbers = [n for n, kind in enumerate(kinds) if kind == "sparse"] if isinstance(kinds, list) else []
    return numbers if numbers and numbers == list(range(numbers[0], numbers[-1] + 1)) else None


def _first_sparse(config: Mapping[str, Any]) -> Derived | None:
    numbers = _sparse(config)
    return Derived(value=numbers[0], keys=("mlp_layer_types",)) if numbers else None


def _last_sparse(config: Mapping[str, Any]) -> Derived | None:
    numbers = _sparse(config)
    return Derived(value=numbers[-1], keys=("mlp_layer_types",)) if numbers else None


_ERNIE: dict[str, Any] = {
    "runtime": "ernie4_5_moe",
    "extension": Extension(
        file="ernie4_5_moe.py",
        reason="mlx-lm's ernie4_5_moe class throws away the router's correction biases and so chooses other "
        "experts",
    ),
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": True,
    "always": {"selection": "biased", "renormalised": True},
    "defaults": {
        **COMMON,
        "tie_word_embeddings": True,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "use_bias": False,
        "moe_num_experts": 64,
        "moe_num_shared_experts": 2,
        "moe_intermediate_size": 1536,
        "moe_k": 6,
        "moe_norm_min": 1e-12,
        "moe_layer_start_index": 1,
        "moe_layer_end_index": -1,
        "moe_layer_interval": 1,
    },
    "derived_head_dim": True,
    "renames": ((r"\.mlp\.(?:gate\.)?moe_statics\.e_score_correction_bias$", ".mlp.expert_bias"),),
}

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="ernie4_5_moe",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        module_names=(("mlp.moe_statics", "mlp.gate.moe_statics"),),
        **_ERNIE,
    ),
    # The decoder of ERNIE 4.5 VL for text: experts, router and biases for images stand beside those for text.
    Family(
        model_type="ernie4_5_vl_moe",
        layouts={"per_expert": PER_EXPERT},
        text_types=("ernie4_5_vl_moe_text",),
        default_source="transformers 5.24",
        derived={
            "moe_intermediate_size": _width_for_text,
            "moe_layer_start_index": _first_sparse,
            "moe_layer_end_index": _last_sparse,
        },
        reshapes=(
            Reshape(
                pattern=r"(.*\.mlp\.gate\.weight)",
                pieces=(Piece(name=r"\1", groups=whole, steps=transposed, merge=True),),
                reason="transformers 5.24 conversion_mapping: mlp.gate.weight, Transpose(0, 1)",
            ),
            Reshape(
                pattern=r"(.*\.mlp\.expert_bias)",
                pieces=(Piece(name=r"\1", part=(0, 2)),),
                shares=2,
                reason="transformers 5.24 conversion_mapping: moe_statics, Chunk(0) into text and images",
            ),
        ),
        **_ERNIE,
    ),
)
