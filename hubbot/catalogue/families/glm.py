"""GLM (Z.ai): GLM-4.5 and its kin, alone and in models that see, and GLM with latent and with indexed attention.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.configs.derivations import MOST_LAYERS, Derived
from hubbot.catalogue.families.defaults import COMMON, GROUPED, LATENT
from hubbot.catalogue.families.provenances import MAPPED, MAPPED_GATE_FIRST, MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family, Limit, Recognised, Under
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS, LATENT_NORMS

_INDEXERS = ("indexer_types", "index_topk_pattern", "index_topk_freq", "index_skip_topk_offset")


def _indexer_types(config: Mapping[str, Any]) -> Derived | None:
    """Which layers choose keys of their own: a list, a pattern of letters, or every so many from an offset on.

    transformers: glm_moe_dsa/configuration_glm_moe_dsa.py, __post_init__.
    """
    listed, pattern = config.get("indexer_types"), config.get("index_topk_pattern")
    layers, freq = config.get("num_hidden_layers"), config.get("index_topk_freq", 1)
    offset = config.get("index_skip_topk_offset", 2)
    if not isinstance(layers, int) or layers >= MOST_LAYERS:
        return None
    if listed is None and isinstance(pattern, str) and set(pattern) <= {"F", "S"}:
        listed = ["full" if letter == "F" else "shared" for letter in pattern]
    elif listed is None and pattern is not None:
        listed = pattern
    elif listed is None and isinstance(freq, int) and isinstance(offset, int):
        every = max(freq, 1)
        listed = ["full" if max(layer - offset + 1, 0) % every == 0 else "shared" for layer in range(layers)]
    if not isinstance(listed, list) or not all(kind in ("full", "shared") for kind in listed):
        return None
    return Derived(value=list(listed), keys=tuple(key for key in _INDEXERS if key in config))


def _shares_indexers(config: Mapping[str, Any], _names: Collection[str]) -> bool:
    found = _indexer_types(config)
    return found is not None and "shared" in found.value


_DSA = Family(
    model_type="glm_moe_dsa",
    runtime="glm_moe_dsa",
    blocks=("mlp",),
    runtime_block="mlp",
    renormalises_one_expert=False,
    layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
    always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
    defaults={
        **COMMON,
        **LATENT,
        "rms_norm_eps": 1e-5,
        "indexer_rope_interleave": True,
        "first_k_dense_replace": 3,
        "index_head_dim": 128,
        "index_n_heads": 32,
        "index_topk": 2048,
        "kv_lora_rank": 512,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 64,
        "q_lora_rank": 2048,
        "qk_nope_head_dim": 192,
        "qk_rope_head_dim": 64,
        "routed_scaling_factor": 2.5,
        "v_head_dim": 256,
    },
    reshapes=(LATENT_HEADS, GROUPED_BIAS),
    keeps_rope_parameters=True,
)
# GLM-5.2: most layers attend to what an earlier one chose.
_SHARING = replace(
    _DSA,
    layouts={key: row for key, row in _DSA.layouts.items() if key != "mlx_switch"},
    derived={"indexer_types": _indexer_types},
    keeps_rope_parameters=False,
    extension=Extension(
        file="glm_moe_dsa.py",
        reason="mlx-lm's glm_moe_dsa class gives every layer an indexer, and this model's shared layers reuse the "
        "choice of the last full one; it is no longer needed once mlx-lm's class reads indexer_types",
    ),
)

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="glm4_moe",
        runtime="glm4_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased"},
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "first_k_dense_replace": 1,
            "n_shared_experts": 1,
            "norm_topk_prob": True,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
            "routed_scaling_factor": 1.0,
        },
        derived_head_dim=True,
        reshapes=(GROUPED_BIAS,),
    ),
    # GLM-4.5V and 4.6V: the decoder of GLM-4.5 without the norms of queries and keys.
    Family(
        model_type="glm4v_moe",
        runtime="glm4_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased"},
        defaults={
            **COMMON,
            **GROUPED,
            "attention_bias": True,
            "use_qk_norm": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "first_k_dense_replace": 1,
            "n_shared_experts": 1,
            "norm_topk_prob": True,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
            "routed_scaling_factor": 1.0,
        },
        derived_head_dim=True,
        text_types=("glm4v_moe_text",),
        limits={
            "use_qk_norm": Limit(values=(False,), reason="transformers' class has no norms of queries and keys")
        },
        renames=((r"^model\.language_model\.", "model."),),
        reshapes=(GROUPED_BIAS,),
    ),
    Family(
        model_type="glm4_moe_lite",
        runtime="glm4_moe_lite",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
            **COMMON,
            **LATENT,
            "rms_norm_eps": 1e-5,
            "first_k_dense_replace": 1,
            "partial_rotary_factor": 1.0,
            "attention_dropout": 0.0,
            "kv_lora_rank": 512,
            "n_shared_experts": 1,
            "num_experts_per_tok": 4,
            "num_key_value_heads": 20,
            "q_lora_rank": 768,
            "qk_nope_head_dim": 192,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 1.8,
            "v_head_dim": 256,
        },
        reshapes=(LATENT_HEADS, GROUPED_BIAS, *LATENT_NORMS),
    ),
    replace(_DSA, under=(Under(where="where layers share an indexer", when=_shares_indexers, row=_SHARING),)),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="glm5_next", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    Recognised(model_type="glm5_next_text", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
)
