"""Xiaomi: MiMo-V2-Flash.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.derivations import Derived, copied, first, listed, theta
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import GROUPED_BIAS


def _common_partial_rotary_factor(config: Mapping[str, Any]) -> Derived | None:
    """The share of a head that is rotated, where all layer types agree on it."""
    layers = ropes.by_layer_type(config)
    if layers is None:
        return copied("partial_rotary_factor")(config)
    shares = {parameters.get("partial_rotary_factor", 1.0) for parameters in layers.values()}
    return Derived(value=shares.pop(), keys=("rope_parameters",)) if len(shares) == 1 else None


def _window_size(config: Mapping[str, Any]) -> Derived | None:
    """How many tokens a query sees, itself included: one more than MiMo's own key sliding_window_size says."""
    size, window = config.get("sliding_window_size"), config.get("sliding_window")
    if isinstance(size, int):
        return Derived(value=size + 1, keys=("sliding_window_size", "sliding_window"))
    return Derived(value=window, keys=("sliding_window",)) if isinstance(window, int) else None


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="mimo_v2_flash",
        runtime="mimo_v2_flash",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased"},
        defaults={
            **COMMON,
            **GROUPED,
            "n_shared_experts": None,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
            "layernorm_epsilon": 1e-5,
            "add_swa_attention_sink_bias": True,
            "add_full_attention_sink_bias": False,
            "attention_value_scale": 0.707,
            "head_dim": 192,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 4,
            "v_head_dim": 128,
        },
        derived={
            "hybrid_layer_pattern": first(
                listed("layer_types", {"full_attention": 0, "sliding_attention": 1}),
                copied("hybrid_layer_pattern"),
            ),
            "moe_layer_freq": first(
                listed("mlp_layer_types", {"dense": 0, "sparse": 1}), copied("moe_layer_freq")
            ),
            # The class counts the query itself, the published key does not.
            "sliding_window_size": _window_size,
            "rope_theta": theta("full_attention", "rope_theta"),
            "swa_rope_theta": theta("sliding_attention", "swa_rope_theta"),
            "partial_rotary_factor": _common_partial_rotary_factor,
            "swa_num_attention_heads": copied("swa_num_attention_heads", "num_attention_heads"),
            "swa_num_key_value_heads": first(
                copied("swa_num_key_value_heads"), copied("num_key_value_heads", times=2)
            ),
            "swa_head_dim": copied("swa_head_dim", "head_dim"),
            "swa_v_head_dim": copied("swa_v_head_dim", "v_head_dim"),
        },
        unread=("hybrid_layer_pattern",),
        rope_reads=("partial_rotary_factor",),
        renames=((r"\.self_attn\.sinks$", ".self_attn.attention_sink_bias"),),
        reshapes=(GROUPED_BIAS,),
        module_names=(("self_attn.attention_sink_bias", "self_attn.sinks"),),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="mimo_v2", layouts={}, reason="transformers has no class of it, either"),
)
