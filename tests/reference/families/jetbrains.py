"""Reference models of JetBrains; rows.py says what a row means."""

from typing import Any

from tests.reference.rows import COMMON, EXPERTS, MIXED, Family, Model, rope

# Two kinds of layer with rotary settings of their own, both away from the class defaults.
TWO_ROPES: dict[str, Any] = {
    "full_attention": rope(),
    "sliding_attention": {"rope_type": "default", "rope_theta": 3217.0},
}
SAME_ROPES: dict[str, Any] = {"full_attention": rope(), "sliding_attention": rope()}
YARN_LAYER: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 51234.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 64,
}

FAMILIES = (
    Family(
        model_type="mellum",
        config=COMMON | MIXED | EXPERTS | {"rope_parameters": TWO_ROPES, "norm_topk_prob": True},
        matters={"rope_parameters": SAME_ROPES, "norm_topk_prob": False, "sliding_window": 128},
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="yarn",
                forms=("orig",),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": TWO_ROPES | {"full_attention": YARN_LAYER},
                },
                remarks=("full attention is scaled by yarn, sliding attention is not",),
            ),
            Model(
                name="attention_factor",
                forms=("orig",),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": TWO_ROPES | {"full_attention": {**YARN_LAYER, "attention_factor": 1.3}},
                },
                expected="refuse",
                remarks=("mlx-lm's yarn works out the factor by itself, and gets another",),
            ),
        ),
    ),
)
