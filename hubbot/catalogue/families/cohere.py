"""Cohere: North Mini Code and Command A+, on a model class of hubbot's own.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import MOST_LAYERS, Derived
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Between, Extension, Family, Limit


def _kinds(config: Mapping[str, Any]) -> Derived | None:
    """Every so many layers see everything; dense layers at the start have a period of their own.

    transformers: cohere2_moe/configuration_cohere2_moe.py, __post_init__.
    """
    if isinstance(config.get("layer_types"), list):
        return Derived(value=config["layer_types"], keys=("layer_types", "sliding_window_pattern"))
    keys = (
        "num_hidden_layers",
        "first_k_dense_replace",
        "prefix_dense_sliding_window_pattern",
        "sliding_window_pattern",
    )
    found = [config.get(key, default) for key, default in zip(keys, (None, 0, 1, 4), strict=True)]
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in found):
        return None
    layers, dense, first, then = found
    if not 0 <= dense <= layers < MOST_LAYERS or min(first, then) < 1:
        return None
    places = [*((number, first) for number in range(dense)), *((number, then) for number in range(layers - dense))]
    kinds = ["full_attention" if (number + 1) % every == 0 else "sliding_attention" for number, every in places]
    return Derived(value=kinds, keys=tuple(key for key in keys[1:] if key in config))


def _feed_forwards(config: Mapping[str, Any]) -> Derived | None:
    if isinstance(config.get("mlp_layer_types"), list):
        return Derived(value=config["mlp_layer_types"], keys=("mlp_layer_types", "first_k_dense_replace"))
    layers, dense = config.get("num_hidden_layers"), config.get("first_k_dense_replace", 0)
    if not isinstance(layers, int) or not isinstance(dense, int) or not 0 <= dense <= layers < MOST_LAYERS:
        return None
    return Derived(value=["dense"] * dense + ["sparse"] * (layers - dense), keys=("first_k_dense_replace",))


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="cohere2_moe",
        runtime="cohere2_moe",
        extension=Extension(
            file="cohere2_moe.py",
            reason="mlx-lm has no class for this model; it is no longer needed once mlx-lm has a cohere2_moe",
        ),
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        always={"rope": "neighbours"},
        defaults={
            **COMMON,
            "tie_word_embeddings": True,
            "logit_scale": 0.0625,
            "head_dim": 128,
            "layer_norm_eps": 1e-5,
            "rms_norm_eps": None,
            "rope_theta": 10000.0,
            "sliding_window": 4096,
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "num_shared_experts": 0,
            "shared_expert_combination_strategy": "average",
            "expert_selection_fn": "softmax",
            "norm_topk_prob": True,
            "prefix_dense_intermediate_size": None,
            "prefix_dense_sliding_window_pattern": 1,
        },
        derived={"layer_types": _kinds, "mlp_layer_types": _feed_forwards},
        limits={
            "sliding_window": Limit(
                values=Between(least=1, most=2**31), reason="without a window transformers rotates nothing in it"
            ),
            "expert_selection_fn": Limit(values=("softmax", "sigmoid"), reason="transformers knows no other"),
            "shared_expert_combination_strategy": Limit(
                values=("average", "sum"), reason="transformers knows no other"
            ),
        },
    ),
)
