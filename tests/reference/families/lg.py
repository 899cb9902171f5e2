"""Reference models of LG AI Research; rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import COMMON, DEFAULT_ROPE, GROUPS, LAYOUT_FORMS, YARN_ROPE, Family, Model

FAMILIES = (
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
)
