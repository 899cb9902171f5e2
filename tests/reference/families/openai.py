"""Reference models of OpenAI; rows.py says what a row means."""

from typing import Any

from tests.reference.rows import COMMON, YARN, Family, Model, rope

# As the published gpt-oss models have it.
PUBLISHED_YARN: dict[str, Any] = YARN | {
    "rope_theta": 150000.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}

FAMILIES = (
    Family(
        model_type="gpt_oss",
        config=COMMON
        | {
            "head_dim": 64,
            "num_attention_heads": 4,
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "sliding_window": 16,
            "max_position_embeddings": 2048,
            "rope_parameters": YARN,
        },
        matters={"rope_parameters": rope(), "swiglu_limit": 1.0, "sliding_window": 128},
        remarks=("experts are [E, in, out] with interleaved gate and up rows, and biases",),
        models=(
            Model(name="base", forms=("orig", "hub", "bf16", "mxfp4")),
            Model(
                name="square",
                forms=("orig", "hub"),
                changes={"intermediate_size": 128, "num_local_experts": 4},
                remarks=("I == H: the shapes cannot tell the orientation",),
            ),
            Model(
                name="untruncated",
                forms=("orig", "hub"),
                changes={"max_position_embeddings": 131072, "rope_parameters": PUBLISHED_YARN},
                tolerance=4e-3,
                remarks=("mlx-lm's yarn truncates whatever the config says",),
            ),
            Model(
                name="untruncated_early",
                forms=("orig",),
                changes={"rope_parameters": YARN | {"truncate": False}},
                expected="refuse",
                remarks=("in so short a context mlx-lm's truncation turns everything over",),
            ),
        ),
    ),
)
