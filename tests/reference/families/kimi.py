"""Reference models of Kimi (Moonshot AI); rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import (
    COMMON,
    DECIDED,
    EPSILON,
    GROUPS,
    LATENT,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    Family,
    Model,
)

FAMILIES = (
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
        model_type="kimi_linear",
        config={key: value for key, value in COMMON.items() if key != "rope_parameters"}
        | {k: v for k, v in SIGMOID_ROUTER.items() if k not in {"first_k_dense_replace", "n_routed_experts"}}
        | LATENT
        | {
            "q_lora_rank": None,
            "num_local_experts": 8,
            "linear_head_dim": 64,
            "linear_num_heads": 2,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
            "mlp_layer_types": ["dense", "sparse", "sparse"],
            "pad_token_id": 0,
        },
        matters={"routed_scaling_factor": 1.0, "norm_topk_prob": False},
        models=(Model(name="base", forms=("orig", "v5")), replace(GROUPS, forms=("orig",)), EPSILON),
    ),
)
