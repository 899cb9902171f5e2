"""Reference models of Poolside; rows.py says what a row means."""

from tests.reference.rows import COMMON, EXPERTS, MIXED, Family, Model, rope

FAMILIES = (
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
)
