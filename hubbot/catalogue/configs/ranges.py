"""What a config field may hold at all: counts, widths, factors and switches, with bounds no real model exceeds.

A config is somebody else's file: a string for a number or a billion layers must not reach the model class.
"""

import math
from collections.abc import Mapping
from typing import Any

_COUNTS = frozenset(
    {
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok",
        "moe_intermediate_size", "decoder_sparse_step", "max_position_embeddings", "rotary_dim", "n_group",
        "topk_group", "moe_topk", "moe_k", "cla_share_factor", "moe_layer_interval", "attn_layer_period",
        "expert_layer_period", "mamba_d_conv", "mamba_d_state", "mamba_expand", "moe_top_k",
        "num_attention_groups",
    }
)  # fmt: skip
# These may be zero: a model without dense layers or without shared experts.
_WIDTHS = frozenset(
    {
        "intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size", "n_shared_experts",
        "num_shared_experts", "first_k_dense_replace", "num_dense_layers", "num_shared_expert",
        "moe_num_shared_experts", "moe_layer_num_skipped", "moe_layer_start_index", "attn_layer_offset",
        "expert_layer_offset", "share_expert_dim", "moe_shared_expert_intermediate_size",
    }
)  # fmt: skip
_FACTORS = frozenset(
    {
        "rope_theta", "rms_norm_eps", "partial_rotary_factor", "routed_scaling_factor", "route_scale",
        "moe_norm_min", "moe_router_scaling_factor",
    }
)  # fmt: skip
# Some classes take one value a layer.
_FACTORS_BY_LAYER = frozenset({"rope_theta", "partial_rotary_factors", "swiglu_limits", "swiglu_limits_shared"})
_SWITCHES = frozenset(
    {
        "norm_topk_prob", "tie_word_embeddings", "attention_bias", "mlp_bias", "use_qk_norm", "rope_traditional",
        "route_norm", "mup_enabled", "use_bias", "use_cla", "use_mixed_mlp_moe", "renormalise_top_k",
        "mamba_conv_bias", "mamba_proj_bias", "use_qkv_bias", "norm_head", "moe_router_enable_expert_bias",
        "moe_router_enable_shared_expert", "moe_router_enable_routed_scaling", "use_head_wise_attn_gate",
        "norm_expert_weight",
    }
)  # fmt: skip
LARGEST_COUNT = 100_000_000
_LARGEST: Mapping[str, int] = {"num_hidden_layers": 10_000, "num_attention_heads": 100_000}


def value_problem(field: str, value: Any, config: Mapping[str, Any]) -> str | None:
    """Return a sentence about a value that `field` cannot hold, or None where it is fine or nothing is known."""
    if value is None:
        return None
    wanted = _wanted(field, value)
    if wanted is not None:
        return f"the config says {field} = {repr(value)[:60]}, which is no {wanted}"
    experts = next(
        (
            config[key]
            for key in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
            if key in config
        ),
        0,
    )
    if (
        field in {"num_experts_per_tok", "moe_topk", "moe_k", "moe_top_k"}
        and isinstance(experts, int)
        and value > experts > 0
    ):
        return f"the config says {field} = {value}, but there are {experts} experts"
    return None


def _is_positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def _wanted(field: str, value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if field in _COUNTS and not (whole and 1 <= value <= _LARGEST.get(field, LARGEST_COUNT)):
        return "whole number from 1 up to what a model can have"
    if field in _WIDTHS and not (whole and 0 <= value <= LARGEST_COUNT):
        return "whole number"
    if field in _FACTORS_BY_LAYER and isinstance(value, list):
        # A limit of 0 or null is none.
        fine = all((one in (None, 0) and "limits" in field) or _is_positive(one) for one in value)
        return None if fine else "list of positive numbers"
    if field in _FACTORS | _FACTORS_BY_LAYER and not _is_positive(value):
        return "positive number"
    if field in _SWITCHES and not isinstance(value, bool):
        return "true or false"
    return None
