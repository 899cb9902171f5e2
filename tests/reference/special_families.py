"""More rows of the table: hybrids, and families that pack or name their experts in their own way.

Split from families.py for length only; the same rules hold.
"""

from dataclasses import replace
from typing import Any

from tests.reference.rows import (
    COMMON,
    DEFAULT_ROPE,
    GROUPS,
    LAYOUT_FORMS,
    SIGMOID_ROUTER,
    YARN_ROPE,
    Family,
    Model,
    rope,
)

YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 51234.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": True,
    "original_max_position_embeddings": 64,
}

# As the published gpt-oss models have it.
PUBLISHED_YARN: dict[str, Any] = YARN | {
    "rope_theta": 150000.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}

SPECIAL_FAMILIES = (
    Family(
        model_type="gpt_oss",
        config=COMMON
        | {
            "head_dim": 64,
            "num_attention_heads": 4,
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "sliding_window": 16,
            "max_position_embeddings": 2048,
            "rope_parameters": YARN,
        },
        matters={"rope_parameters": rope(), "swiglu_limit": 1.0, "sliding_window": 128},
        remarks=("experts are [E, in, out] with interleaved gate and up rows, and biases",),
        models=(
            Model(name="base", forms=("orig", "hub", "bf16", "mxfp4")),
            Model(
                name="square",
                forms=("orig", "hub"),
                changes={"intermediate_size": 128, "num_local_experts": 4},
                remarks=("I == H: the shapes cannot tell the orientation",),
            ),
            Model(
                name="untruncated",
                forms=("orig", "hub"),
                changes={"max_position_embeddings": 131072, "rope_parameters": PUBLISHED_YARN},
                tolerance=4e-3,
                remarks=("mlx-lm's yarn truncates whatever the config says",),
            ),
            Model(
                name="untruncated_early",
                forms=("orig",),
                changes={"rope_parameters": YARN | {"truncate": False}},
                expected="refuse",
                remarks=("in so short a context mlx-lm's truncation turns everything over",),
            ),
        ),
    ),
    Family(
        model_type="minimax_m2",
        config=COMMON
        | {
            "head_dim": 32,
            "intermediate_size": 64,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "rope_parameters": rope(partial_rotary_factor=0.5),
        },
        added={
            "rotary_dim": 16,
            "shared_intermediate_size": 0,
            "scoring_func": "sigmoid",
            "use_qk_norm": True,
            "use_routing_bias": True,
        },
        matters={"rope_parameters": rope(partial_rotary_factor=1.0)},
        models=(Model(name="base", forms=(*LAYOUT_FORMS, "fp8")),),
    ),
    Family(
        model_type="solar_open",
        config=COMMON
        | {key: value for key, value in SIGMOID_ROUTER.items() if key != "first_k_dense_replace"}
        | {"head_dim": 32, "num_hidden_layers": 2, "rope_parameters": rope(partial_rotary_factor=1.0)},
        added={"first_k_dense_replace": 0},
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0},
        models=(Model(name="base", forms=LAYOUT_FORMS), GROUPS),
    ),
    Family(
        model_type="lfm2_moe",
        config=COMMON
        | {
            "num_hidden_layers": 4,
            "intermediate_size": 192,
            "moe_intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "num_dense_layers": 1,
            "conv_L_cache": 3,
            "routed_scaling_factor": 1.0,
            "tie_word_embeddings": True,
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
        },
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
    Family(
        model_type="qwen3_next",
        config=COMMON
        | {
            "head_dim": 32,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
            "layer_types": ["linear_attention", "full_attention"],
            "rope_parameters": rope(partial_rotary_factor=0.25),
        },
        added={"full_attention_interval": 2},
        dropped=("layer_types",),
        matters={"rope_parameters": rope(partial_rotary_factor=1.0), "norm_topk_prob": False},
        remarks=("norms are stored less one: 1 is added once, in float32",),
        models=(Model(name="base", forms=(*LAYOUT_FORMS, "bf16", "fp8")),),
    ),
    Family(
        model_type="afmoe",
        config=COMMON
        | {
            "head_dim": 32,
            "num_hidden_layers": 3,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "num_dense_layers": 1,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "num_shared_experts": 1,
            "route_scale": 1.75,
            "mup_enabled": True,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        added={"n_group": 1, "topk_group": 1, "route_norm": True, "score_func": "sigmoid"},
        matters={
            "rope_parameters": DEFAULT_ROPE,
            "route_scale": 1.0,
            "sliding_window": 128,
            "mup_enabled": False,
        },
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
    Family(
        model_type="exaone_moe",
        config=COMMON
        | {
            "head_dim": 32,
            "num_hidden_layers": 3,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "num_shared_experts": 1,
            "first_k_dense_replace": 1,
            "routed_scaling_factor": 1.75,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        added={"is_moe_layer": [False, True, True], "scoring_func": "sigmoid", "topk_method": "noaux_tc"},
        dropped=("mlp_layer_types",),
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0, "sliding_window": 128},
        models=(
            Model(name="base", forms=LAYOUT_FORMS),
            replace(GROUPS, changes={**GROUPS.changes, "num_experts": 8}, forms=("orig",)),
            Model(name="yarn", forms=("orig",), changes=YARN_ROPE),
        ),
    ),
    Family(
        model_type="jamba",
        config={key: value for key, value in COMMON.items() if key != "rope_parameters"}
        | {
            "intermediate_size": 192,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
        matters={"num_experts_per_tok": 1},
        remarks=("stock mlx-lm renormalises the top-k weights; Jamba does not",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="periods",
                forms=("orig",),
                changes={
                    "hidden_size": 64,
                    "num_attention_heads": 2,
                    "num_key_value_heads": 1,
                    "intermediate_size": 64,
                    "num_hidden_layers": 6,
                    "num_experts": 4,
                    "expert_layer_period": 3,
                    "attn_layer_period": 4,
                    "attn_layer_offset": 2,
                    "tie_word_embeddings": True,
                },
                remarks=("stock mlx-lm counts a period of three from its other end: layers 2 and 5 for 1 and 4",),
            ),
        ),
    ),
    Family(
        model_type="hunyuan_v1_moe",
        config=COMMON | {"head_dim": 32, "intermediate_size": 192, "num_experts": 6, "moe_topk": 2},
        # As Tencent's own config has them: some values once a layer, and switches that transformers does not read.
        added={
            "moe_intermediate_size": [192, 192],
            "num_shared_expert": [1, 1],
            "attention_head_dim": 64,
            "use_cla": False,
            "cla_share_factor": 1,
            "use_qk_norm": True,
            "use_mixed_mlp_moe": True,
            "norm_topk_prob": True,
            "norm_type": "rms",
            "moe_layer_num_skipped": 0,
        },
        rope_kind="type",
        matters={"rope_parameters": DEFAULT_ROPE},
        remarks=("stock mlx-lm routes without renormalising the top-k weights",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="alpha",
                forms=("orig", "hub"),
                changes={
                    "head_dim": 64,
                    "moe_topk": [3, 3],
                    "tie_word_embeddings": True,
                    "rope_parameters": {
                        "rope_type": "dynamic",
                        "rope_theta": 51234.0,
                        "alpha": 50.0,
                        "factor": 1.0,
                    },
                },
                remarks=("NTK-alpha rope, tied, heads wider than hidden size / heads",),
            ),
        ),
    ),
)
