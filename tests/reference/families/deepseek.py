"""Reference models of DeepSeek; rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import (
    COMMON,
    DECIDED,
    DEFAULT_ROPE,
    GROUPS,
    INDEXED,
    LATENT,
    NEGATIVE,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    TIED,
    Family,
    Model,
)

FAMILIES = (
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
            replace(TIED, forms=("orig",)),
        ),
    ),
    Family(
        model_type="deepseek_v2",
        config=COMMON | SIGMOID_ROUTER | LATENT | {"norm_topk_prob": False, "topk_method": "greedy"},
        added={"scoring_func": "softmax", "moe_layer_freq": 1},
        rope_kind="type",
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            Model(
                name="groups",
                forms=("orig", "hub"),
                changes={"n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy"},
                remarks=("group-limited softmax routing",),
            ),
        ),
    ),
    Family(
        model_type="deepseek_v32",
        config=COMMON | SIGMOID_ROUTER | LATENT | INDEXED,
        added=SIGMOID_CHOICE,
        dropped=("mlp_layer_types", "layer_types"),
        rope_kind="type",
        matters={**DECIDED, "index_topk": 64},
        models=(Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8_ue8m0", "mtp")), GROUPS),
    ),
)
