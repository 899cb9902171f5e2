"""Reference models of GLM (Z.ai); rows.py says what a row means."""

from tests.reference.rows import (
    COMMON,
    DECIDED,
    GROUPS,
    INDEXED,
    LATENT,
    LAYOUT_FORMS,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    Family,
    Model,
    rope,
)

FAMILIES = (
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
        model_type="glm_moe_dsa",
        config=COMMON | SIGMOID_ROUTER | LATENT | INDEXED,
        added=SIGMOID_CHOICE,
        dropped=("mlp_layer_types", "layer_types", "indexer_types"),
        keeps_rope_parameters=True,
        matters={**DECIDED, "index_topk": 64},
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "fp8")),
            GROUPS,
            Model(
                name="shared",
                forms=("orig", "v5", "fp8"),
                changes={
                    "num_hidden_layers": 6,
                    "indexer_types": ["full", "shared", "shared", "full", "shared", "full"],
                },
                decodes=True,
                remarks=("shared layers attend to what the last full one chose, 16 keys of 24 and more",),
            ),
        ),
    ),
    Family(
        model_type="glm4_moe_lite",
        config=COMMON | {k: v for k, v in SIGMOID_ROUTER.items() if k != "first_k_dense_replace"} | LATENT,
        added={**SIGMOID_CHOICE, "first_k_dense_replace": 1},
        dropped=("mlp_layer_types",),
        matters=DECIDED,
        models=(Model(name="base", forms=("orig", "v5", "hub", "bf16", "mtp")), GROUPS),
    ),
)
