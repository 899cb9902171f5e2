"""Families whose layers differ in attention: windows, chunks, rotary settings by kind of layer.

A row knows one model type; it never reads a checkpoint.
"""

from typing import Any

from hubbot.catalogue.configs.derivations import (
    common_partial_rotary_factor,
    copied,
    every_layer,
    first,
    listed,
    of_full_layers,
    periodic,
    repeated,
    theta,
    window_size,
)
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import (
    GPT_OSS,
    GPT_OSS_PACKED,
    LLAMA4,
    MLX,
    MLX_EXPERTS,
    NATIVE_FUSED,
    PER_EXPERT,
    QWEN_FUSED,
)
from hubbot.catalogue.families.row import Between, Family, Limit, Naming
from hubbot.catalogue.reshapes import GROUPED_BIAS

_BOTH_KINDS = Limit(
    values=Naming(kinds=frozenset({"full_attention", "sliding_attention"})),
    reason="mlx-lm's class looks for the first layer of each kind",
)
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
    "layouts": {"stacked_fused_transposed": LLAMA4, "mlx_experts": MLX_EXPERTS},
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
    },
    "limits": {
        "rms_norm_eps": Limit(
            values=Between(least=0, most=1e-5),
            reason="mlx-lm's class normalises queries and keys with 1e-6 whatever the config says",
        )
    },
}
_GEMMA4: dict[str, Any] = {
    "always": {"activation": "gelu_tanh", "qk_norm": "per_head", "renormalised": True},
    "blocks": ("",),
    "runtime_block": "",
    "layouts": {"stacked_fused": NATIVE_FUSED},
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
    },
    "derived": {
        "global_head_dim": first(of_full_layers("head_dim"), copied("global_head_dim")),
        "num_global_key_value_heads": first(
            of_full_layers("num_key_value_heads"), copied("num_global_key_value_heads")
        ),
    },
    "keeps_rope_parameters": True,
    "reference": "gemma4_text",
}

WINDOWED_ATTENTION: tuple[Family, ...] = (
    Family(
        model_type="gpt_oss",
        runtime="gpt_oss",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"stacked_fused_transposed": GPT_OSS, "stacked_fused": GPT_OSS_PACKED, "mlx_experts": MLX_EXPERTS},
        expert_module="experts",
        defaults={**COMMON, "rms_norm_eps": 1e-5, "rope_theta": 150000.0, "sliding_window": 128},
        derived={
            "layer_types": first(
                copied("layer_types"),
                periodic(None, nth="full_attention", others="sliding_attention", default=2),
            )
        },
        # The published models say `truncate: false`, which comes to 2.2e-4 radians a token.
        rope_drift=3e-4,
        rope_is_scaled=True,
        always={"attention_bias": True, "swiglu_limit": 7.0, "swiglu_alpha": 1.702, "renormalised": True},
        reference="gpt_oss",
    ),
    Family(
        model_type="mellum",
        runtime="mellum",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={**COMMON, "norm_topk_prob": True, "rms_norm_eps": 1e-6, "sliding_window": 1024},
        limits={"layer_types": _BOTH_KINDS},
        keeps_rope_parameters=True,
        rope_kinds=("yarn", "llama3"),
        always={"dense_layers": "none", "qk_norm": "per_head"},
        reference="mellum",
    ),
    Family(
        model_type="laguna",
        runtime="laguna",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "qkv_bias": False,
            "gating": True,
            "partial_rotary_factor": None,
            "moe_routed_scaling_factor": 1.0,
            "moe_router_logit_softcapping": 0.0,
            "moe_router_score_func": "sigmoid",
            "rms_norm_eps": 1e-6,
            "sliding_window": 512,
        },
        derived={
            "num_attention_heads_per_layer": first(
                copied("num_attention_heads_per_layer"), repeated("num_attention_heads")
            ),
            "layer_types": first(copied("layer_types"), every_layer("full_attention")),
        },
        keeps_rope_parameters=True,
        rope_reads=("partial_rotary_factor",),
        renames=(
            (r"\.mlp\.gate\.weight$", ".mlp.gate.proj.weight"),
            (r"\.mlp\.experts\.e_score_correction_bias$", ".mlp.gate.e_score_correction_bias"),
            (r"\.mlp\.shared_experts\.", ".mlp.shared_expert."),
        ),
        always={
            "scores": "sigmoid",
            "selection": "biased",
            "attention_gate": "per_head",
            "qk_norm": "per_head",
            "renormalised": True,
        },
        reference="laguna",
    ),
    Family(
        model_type="mimo_v2_flash",
        runtime="mimo_v2_flash",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "n_shared_experts": None,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
            "layernorm_epsilon": 1e-5,
            "add_swa_attention_sink_bias": True,
            "add_full_attention_sink_bias": False,
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
            "sliding_window_size": window_size,
            "rope_theta": theta("full_attention", "rope_theta"),
            "swa_rope_theta": theta("sliding_attention", "swa_rope_theta"),
            "partial_rotary_factor": common_partial_rotary_factor,
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
        always={"scores": "sigmoid", "selection": "biased"},
        reference="mimo_v2_flash",
    ),
    Family(
        model_type="llama4",
        renames=(),
        reference="llama4",
        **_LLAMA4,
    ),
    Family(
        model_type="llama4_text",
        renames=((r"^", "language_model."),),
        reference="llama4_text",
        **_LLAMA4,
    ),
    Family(
        model_type="gemma4",
        runtime="gemma4",
        text_args="gemma4_text.ModelArgs",
        text_type="gemma4_text",
        renames=((r"^model\.language_model\.", "language_model.model."),),
        **_GEMMA4,
    ),
    Family(model_type="gemma4_text", runtime="gemma4_text", **_GEMMA4),
)
