"""Reference models of IBM; rows.py says what a row means."""

from typing import Any

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, LINEAR_ROPE, TIED, Family, Model

GRANITE: dict[str, Any] = {
    "intermediate_size": 192,
    "shared_intermediate_size": 192,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "embedding_multiplier": 3.5,
    "logits_scaling": 1.5,
    "residual_multiplier": 0.6,
    "attention_multiplier": 0.3,
}
MAMBA: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_n_groups": 1,
    "mamba_d_state": 32,
    "mamba_d_head": 32,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_chunk_size": 16,
}

FAMILIES = (
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
        model_type="granitemoehybrid",
        config=COMMON
        | GRANITE
        | MAMBA
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "position_embedding_type": "rope",
        },
        matters={"rope_parameters": DEFAULT_ROPE, "residual_multiplier": 1.0, "attention_multiplier": 0.25},
        replaced={"layer_types": ["mamba", "attention"]},
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16")),
            Model(name="no_rope", forms=("orig",), changes={"position_embedding_type": "nope"}),
            Model(
                name="groups",
                forms=("orig", "v5", "hub"),
                changes={"mamba_n_groups": 2},
                decodes=True,
                remarks=("each group is normed by itself, where mlx-lm's class norms all of them together",),
            ),
        ),
    ),
    Family(
        model_type="granitemoeshared",
        config=COMMON | GRANITE,
        matters={"rope_parameters": DEFAULT_ROPE, "residual_multiplier": 1.0, "attention_multiplier": 0.25},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
)
