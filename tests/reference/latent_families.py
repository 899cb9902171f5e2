"""Rows of the table: families whose attention compresses keys and values into a latent (MLA).

Split from families.py for length only; the same rules hold.
"""

from typing import Any

from tests.reference.rows import (
    COMMON,
    DEFAULT_ROPE,
    GROUPS,
    LAYOUT_FORMS,
    SIGMOID_ROUTER,
    Family,
    Model,
)
from tests.reference.special_families import YARN

# Two heads whose parts are all 64 wide: every projection dimension is a multiple of 64.
LATENT: dict[str, Any] = {
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "q_lora_rank": 64,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 64,
    "v_head_dim": 64,
}
# Enough index heads that no score is exactly zero, and fewer positions kept than there are tokens.
INDEXED: dict[str, Any] = {"index_n_heads": 32, "index_head_dim": 128, "index_topk": 16}
SIGMOID_CHOICE: dict[str, Any] = {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1}
DECIDED: dict[str, Any] = {
    "rope_parameters": DEFAULT_ROPE,
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.0,
}
LATENT_FAMILIES = (
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
        model_type="kimi_k2",
        built_as="deepseek_v3",
        config=COMMON | SIGMOID_ROUTER | LATENT,
        added=SIGMOID_CHOICE,
        rope_kind="type",
        matters=DECIDED,
        remarks=("the same class as deepseek_v3 under another name",),
        models=(Model(name="base", forms=("orig", "v5", "hub", "int4")),),
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
    Family(
        model_type="glm_moe_dsa",
        config=COMMON | SIGMOID_ROUTER | LATENT | INDEXED,
        added=SIGMOID_CHOICE,
        dropped=("mlp_layer_types", "layer_types", "indexer_types"),
        keeps_rope_parameters=True,
        matters={**DECIDED, "index_topk": 64},
        models=(Model(name="base", forms=(*LAYOUT_FORMS, "fp8")), GROUPS),
    ),
    Family(
        model_type="glm4_moe_lite",
        config=COMMON | {k: v for k, v in SIGMOID_ROUTER.items() if k != "first_k_dense_replace"} | LATENT,
        added={**SIGMOID_CHOICE, "first_k_dense_replace": 1},
        dropped=("mlp_layer_types",),
        matters=DECIDED,
        models=(Model(name="base", forms=("orig", "v5", "hub", "bf16", "mtp")), GROUPS),
    ),
    Family(
        model_type="mistral4",
        auto_class="Mistral4ForCausalLM",
        config=COMMON
        | SIGMOID_ROUTER
        | LATENT
        | {
            "max_position_embeddings": 2048,
            "rope_parameters": {
                **{key: value for key, value in YARN.items() if key != "truncate"},
                "type": "yarn",
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": 0.1,
                "original_max_position_embeddings": 16,
                "max_position_embeddings": 2048,
                "partial_rotary_factor": 0.5,
            },
        },
        matters={"norm_topk_prob": False, "routed_scaling_factor": 1.0},
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
    Family(
        model_type="longcat_flash",
        config={k: v for k, v in COMMON.items() if k not in {"num_hidden_layers", "num_key_value_heads"}}
        | {key: value for key, value in LATENT.items() if key != "num_key_value_heads"}
        | {
            "num_layers": 2,
            "ffn_hidden_size": 192,
            "expert_ffn_hidden_size": 64,
            "moe_topk": 3,
            "n_routed_experts": 6,
            "zero_expert_num": 3,
            "routed_scaling_factor": 3.5,
            "head_dim": 64,
        },
        added={
            "attention_method": "MLA",
            "zero_expert_type": "identity",
            "mla_scale_q_lora": True,
            "mla_scale_kv_lora": True,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
)
