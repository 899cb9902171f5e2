"""The table of reference models: what make.py builds with transformers, one row a family.

It knows config values and the transformers-4 spelling of each config.
"""

from tests.reference.rows import (
    ALL_FORMS,
    COMMON,
    DEFAULT_ROPE,
    GROUPS,
    LAYOUT_FORMS,
    LINEAR_ROPE,
    LLAMA3_ROPE,
    NEGATIVE,
    SIGMOID_ROUTER,
    TIED,
    YARN_ROPE,
    Family,
    Model,
    rope,
)

FAMILIES = (
    Family(
        model_type="qwen3_moe",
        config=COMMON
        | {
            "hidden_size": 64,
            "head_dim": 32,
            "intermediate_size": 320,
            "moe_intermediate_size": 128,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "norm_topk_prob": True,
        },
        renamed={"num_local_experts": "num_experts"},
        added={"max_window_layers": 2},
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "num_experts_per_tok": 2},
        remarks=("head_dim * heads differs from hidden_size",),
        models=(
            Model(name="base", forms=(*ALL_FORMS, "fp8", "fp8_ragged", "fp8_fused", "fp8_channel", "int4")),
            TIED,
            Model(
                name="raw_top_k",
                forms=("orig", "hub"),
                changes={"norm_topk_prob": False},
                remarks=("router weights are not renormalised",),
            ),
            Model(
                name="dense_layers",
                forms=LAYOUT_FORMS,
                changes={
                    "num_hidden_layers": 4,
                    "num_experts": 4,
                    "num_experts_per_tok": 2,
                    "moe_intermediate_size": 64,
                    "hidden_size": 96,
                    "decoder_sparse_step": 2,
                    "mlp_only_layers": [1],
                },
                remarks=(
                    "layers 0 and 2 are dense by decoder_sparse_step, 1 by mlp_only_layers; only 3 has experts",
                ),
            ),
            Model(
                name="half_square",
                forms=LAYOUT_FORMS,
                changes={"hidden_size": 128, "moe_intermediate_size": 64, "num_experts": 4},
                remarks=("2I == H: gate_up_proj is square",),
            ),
            Model(
                name="square",
                forms=LAYOUT_FORMS,
                changes={"moe_intermediate_size": 64, "num_experts": 4},
                remarks=("I == H: down_proj is square",),
            ),
            Model(
                name="default_head_dim",
                forms=("orig",),
                changes={"hidden_size": 128, "num_experts": 4},
                omitted=("head_dim",),
                remarks=("config.json has no head_dim: it is hidden_size / heads",),
            ),
        ),
    ),
    Family(
        model_type="mixtral",
        config=COMMON
        | {
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "sliding_window": None,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "num_experts_per_tok": 1},
        models=(
            Model(name="base", forms=ALL_FORMS),
            TIED,
            Model(
                name="half_square",
                forms=("orig", "v5"),
                changes={"intermediate_size": 64, "num_local_experts": 4},
                remarks=("2I == H: gate_up_proj is square",),
            ),
            Model(
                name="window",
                forms=("hub",),
                changes={"sliding_window": 16},
                expected="refuse",
                remarks=("stock mlx-lm ignores sliding_window: wrong from token 16",),
            ),
        ),
    ),
    Family(
        model_type="qwen2_moe",
        config=COMMON
        | {
            "intermediate_size": 320,
            "moe_intermediate_size": 128,
            "shared_expert_intermediate_size": 192,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "norm_topk_prob": False,
        },
        dropped=("layer_types", "qkv_bias"),
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": True},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            Model(
                name="renormalised",
                forms=("hub",),
                changes={"norm_topk_prob": True},
                expected="refuse",
                remarks=("stock mlx-lm ignores norm_topk_prob: silently wrong",),
            ),
        ),
    ),
    Family(
        model_type="olmoe",
        config=COMMON
        | {"intermediate_size": 192, "num_experts": 6, "num_experts_per_tok": 2, "norm_topk_prob": False},
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": True},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            Model(name="llama3", forms=("orig", "hub"), changes=LLAMA3_ROPE),
            Model(
                name="lone_mscale",
                forms=("orig", "hub"),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": {**YARN_ROPE["rope_parameters"], "mscale": 0.7},
                },
                remarks=("transformers passes over yarn's mscale where mscale_all_dim is missing",),
            ),
        ),
    ),
    Family(
        model_type="phimoe",
        config=COMMON
        | {
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "attention_bias": True,
            "lm_head_bias": True,
            "sliding_window": None,
        },
        matters={"rope_parameters": DEFAULT_ROPE},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
    Family(
        model_type="granitemoe",
        config=COMMON
        | {
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "embedding_multiplier": 3.5,
            "logits_scaling": 1.5,
            "residual_multiplier": 0.6,
            "attention_multiplier": 0.3,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "residual_multiplier": 1.0, "attention_multiplier": 0.25},
        models=(
            Model(name="base", forms=LAYOUT_FORMS),
            TIED,
            Model(name="linear", forms=("orig",), changes=LINEAR_ROPE),
        ),
    ),
    Family(
        model_type="dots1",
        config=COMMON
        | SIGMOID_ROUTER
        | {"head_dim": 32, "n_shared_experts": 2, "sliding_window": None, "max_window_layers": 3},
        added={"scoring_func": "noaux_tc"},
        dropped=("layer_types",),
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            GROUPS,
            Model(name="yarn", forms=("orig", "hub"), changes=YARN_ROPE),
        ),
    ),
    Family(
        model_type="glm4_moe",
        config=COMMON
        | SIGMOID_ROUTER
        | {
            "head_dim": 32,
            "use_qk_norm": True,
            "attention_bias": True,
            "rope_parameters": rope(partial_rotary_factor=0.5),
        },
        matters={
            "rope_parameters": rope(partial_rotary_factor=1.0),
            "norm_topk_prob": False,
            "routed_scaling_factor": 1.0,
        },
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8", "mtp")),
            GROUPS,
        ),
    ),
    Family(
        model_type="deepseek_v3",
        config=COMMON
        | SIGMOID_ROUTER
        | {
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "q_lora_rank": 64,
            "kv_lora_rank": 64,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 64,
            "v_head_dim": 64,
        },
        added={"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1},
        rope_kind="type",
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8", "fp8_ue8m0", "int4", "mtp")),
            Model(
                name="yarn",
                forms=("orig", "hub"),
                changes={
                    "q_lora_rank": None,
                    "max_position_embeddings": 2048,
                    "rope_parameters": {
                        "rope_type": "yarn",
                        "rope_theta": 51234.0,
                        "factor": 32.0,
                        "beta_fast": 32.0,
                        "beta_slow": 1.0,
                        "mscale": 1.0,
                        "mscale_all_dim": 0.8,
                        "original_max_position_embeddings": 64,
                    },
                },
                remarks=("yarn with mscale unequal to mscale_all_dim; no low-rank query",),
            ),
            Model(
                name="groups",
                forms=("orig", "hub"),
                changes={"n_group": 4, "topk_group": 2},
                router_bias=NEGATIVE,
                remarks=("group-limited routing; most biased scores are negative",),
            ),
        ),
    ),
    Family(
        model_type="ernie4_5_moe",
        config=COMMON
        | {
            "num_hidden_layers": 3,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "moe_num_experts": 6,
            "moe_num_shared_experts": 1,
            "moe_k": 2,
            "moe_layer_start_index": 1,
        },
        matters={"rope_parameters": DEFAULT_ROPE},
        remarks=("stock mlx-lm deletes e_score_correction_bias and routes without it",),
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16")),
            Model(
                name="interval",
                forms=("orig",),
                changes={
                    "num_hidden_layers": 5,
                    "moe_layer_interval": 2,
                    "moe_layer_end_index": 3,
                    "moe_num_shared_experts": 0,
                    "tie_word_embeddings": True,
                    "hidden_size": 64,
                    "num_attention_heads": 2,
                    "num_key_value_heads": 1,
                    "intermediate_size": 128,
                },
                remarks=("layers 1 and 3 hold experts, none is shared",),
            ),
        ),
    ),
)
