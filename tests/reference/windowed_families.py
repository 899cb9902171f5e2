"""Rows of the table: families with rotary settings or windows by layer type, and those with names of their own.

Split from families.py for length only; the same rules hold.
"""

from dataclasses import replace
from typing import Any

from tests.reference.rows import COMMON, DEFAULT_ROPE, GROUPS, LAYOUT_FORMS, LLAMA3_ROPE, Family, Model, rope

# Two kinds of layer with rotary settings of their own, both away from the class defaults.
TWO_ROPES: dict[str, Any] = {
    "full_attention": rope(),
    "sliding_attention": {"rope_type": "default", "rope_theta": 3217.0},
}
SAME_ROPES: dict[str, Any] = {"full_attention": rope(), "sliding_attention": rope()}
MIXED: dict[str, Any] = {
    "num_hidden_layers": 3,
    "head_dim": 32,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
EXPERTS: dict[str, Any] = {
    "intermediate_size": 320,
    "moe_intermediate_size": 64,
    "num_experts": 6,
    "num_experts_per_tok": 2,
}
YARN_LAYER: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 51234.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 64,
}

WINDOWED_FAMILIES = (
    Family(
        model_type="mellum",
        config=COMMON | MIXED | EXPERTS | {"rope_parameters": TWO_ROPES, "norm_topk_prob": True},
        matters={"rope_parameters": SAME_ROPES, "norm_topk_prob": False, "sliding_window": 128},
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="yarn",
                forms=("orig",),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": TWO_ROPES | {"full_attention": YARN_LAYER},
                },
                remarks=("full attention is scaled by yarn, sliding attention is not",),
            ),
            Model(
                name="attention_factor",
                forms=("orig",),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": TWO_ROPES | {"full_attention": {**YARN_LAYER, "attention_factor": 1.3}},
                },
                expected="refuse",
                remarks=("mlx-lm's yarn works out the factor by itself, and gets another",),
            ),
        ),
    ),
    Family(
        model_type="laguna",
        config=COMMON
        | MIXED
        | EXPERTS
        | {
            "shared_expert_intermediate_size": 192,
            "rope_parameters": {
                "full_attention": rope(partial_rotary_factor=0.5),
                "sliding_attention": {
                    "rope_type": "default",
                    "rope_theta": 3217.0,
                    "partial_rotary_factor": 1.0,
                },
            },
            "moe_routed_scaling_factor": 1.75,
            "num_attention_heads_per_layer": [4, 6, 4],
        },
        matters={"moe_routed_scaling_factor": 1.0, "sliding_window": 128},
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
    Family(
        model_type="mimo_v2_flash",
        config=COMMON
        | MIXED
        | {
            "head_dim": 64,
            "v_head_dim": 32,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "n_routed_experts": 6,
            "num_experts_per_tok": 2,
            "sliding_window": 17,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "routed_scaling_factor": 1.75,
            "attention_value_scale": 0.707,
            "rope_parameters": {
                "full_attention": rope(partial_rotary_factor=0.5),
                "sliding_attention": {
                    "rope_type": "default",
                    "rope_theta": 3217.0,
                    "partial_rotary_factor": 0.5,
                },
            },
        },
        matters={"norm_topk_prob": False, "sliding_window": 128, "attention_value_scale": 1.0},
        added={
            "add_full_attention_sink_bias": False,
            "add_swa_attention_sink_bias": True,
            "attention_value_scale": 0.707,
            "hybrid_layer_pattern": [0, 1, 0],
            "moe_layer_freq": [0, 1, 1],
            "n_shared_experts": None,
            "partial_rotary_factor": 0.5,
            "rope_theta": 51234.0,
            "scoring_func": "sigmoid",
            "sliding_window": 16,
            "sliding_window_size": 16,
            "swa_head_dim": 64,
            "swa_num_attention_heads": 4,
            "swa_num_key_value_heads": 4,
            "swa_rope_theta": 3217.0,
            "swa_v_head_dim": 32,
            "topk_method": "noaux_tc",
        },
        renamed={"rms_norm_eps": "layernorm_epsilon"},
        dropped=("layer_types", "mlp_layer_types", "rope_parameters"),
        unread=("layer_types", "layernorm_epsilon", "rms_norm_eps", "rope_parameters"),
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "fp8")),
            replace(GROUPS, changes={**GROUPS.changes, "n_routed_experts": 8}),
        ),
    ),
    Family(
        model_type="llama4_text",
        config=COMMON
        | {
            "num_hidden_layers": 4,
            "head_dim": 32,
            "intermediate_size": 192,
            "intermediate_size_mlp": 320,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 16,
            "floor_scale": 8,
            "attn_scale": 0.4,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "attention_chunk_size": 512, "attn_scale": 0.1},
        models=(
            Model(name="base", forms=("orig", "hub", "bf16")),
            Model(
                name="half_square",
                forms=("orig",),
                changes={"intermediate_size": 64},
                remarks=("2I == H: gate_up_proj is square",),
            ),
            Model(
                name="square",
                forms=("orig",),
                changes={"intermediate_size": 128},
                remarks=("I == H: down_proj is square",),
            ),
            Model(name="llama3", forms=("orig", "hub"), changes=LLAMA3_ROPE),
        ),
    ),
    Family(
        model_type="gemma4_text",
        config=COMMON
        | MIXED
        | EXPERTS
        | {
            "num_experts_per_tok": None,
            "top_k_experts": 2,
            "intermediate_size": 192,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "num_global_key_value_heads": 1,
            "global_head_dim": 64,
            "attention_k_eq_v": True,
            "enable_moe_block": True,
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 128,
            "num_kv_shared_layers": 0,
            "final_logit_softcapping": 5.0,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "proportional",
                    "rope_theta": 51234.0,
                    "partial_rotary_factor": 0.25,
                },
                "sliding_attention": {"rope_type": "default", "rope_theta": 3217.0},
            },
        },
        matters={"sliding_window": 128, "final_logit_softcapping": None, "top_k_experts": 3},
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
    Family(
        model_type="dbrx",
        config={
            "vocab_size": 128,
            "d_model": 128,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 512,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 1.5, "rope_theta": 51234.0},
            "ffn_config": {"ffn_hidden_size": 192, "moe_num_experts": 6, "moe_top_k": 2},
            "rope_parameters": rope(),
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        matters={"rope_parameters": DEFAULT_ROPE},
        models=(Model(name="base", forms=("orig", "bf16")),),
    ),
)
