"""Reference models of Xiaomi; rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import COMMON, GROUPS, LAYOUT_FORMS, MIXED, Family, Model, rope

FAMILIES = (
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
)
