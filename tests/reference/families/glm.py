"""Reference models of GLM (Z.ai); rows.py says what a row means."""

from typing import Any

from tests.reference.rows import (
    COMMON,
    DECIDED,
    GROUPS,
    INDEXED,
    LATENT,
    LAYOUT_FORMS,
    NEGATIVE,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    TEXT,
    Family,
    Model,
    rope,
)

DECODER: dict[str, Any] = (
    TEXT
    | SIGMOID_ROUTER
    | {"head_dim": 32, "rope_parameters": rope(partial_rotary_factor=0.5, mrope_section=[2, 3, 3])}
)

FAMILIES = (
    Family(
        model_type="glm4v_moe",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": DECODER,
            "vision_config": {
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "out_hidden_size": 128,
                "num_heads": 2,
                "patch_size": 2,
                "image_size": 8,
            },
            "tie_word_embeddings": False,
        },
        matters={
            "text_config": DECODER
            | {
                "norm_topk_prob": False,
                "rope_parameters": rope(partial_rotary_factor=1.0, mrope_section=[8, 4, 4]),
            }
        },
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8")),
            Model(
                name="groups",
                forms=("orig",),
                changes={"text_config": {**DECODER, **GROUPS.changes, "attention_bias": False}},
                router_bias=NEGATIVE,
                remarks=("group-limited routing; no bias of attention",),
            ),
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
