"""Reference models of Microsoft; rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, TIED, Family, Model

FAMILIES = (
    Family(
        model_type="phimoe",
        config=COMMON
        | {
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "attention_bias": True,
            "lm_head_bias": True,
            "sliding_window": None,
        },
        matters={"rope_parameters": DEFAULT_ROPE},
        models=(
            Model(name="base", forms=LAYOUT_FORMS),
            replace(TIED, forms=("orig",)),
            Model(
                name="longrope",
                forms=("orig", "v5", "hub"),
                changes={
                    "max_position_embeddings": 4096,
                    "sliding_window": 4096,
                    "rope_parameters": {
                        "rope_type": "longrope",
                        "rope_theta": 51234.0,
                        "short_factor": [1.0 + number / 40 for number in range(16)],
                        "long_factor": [1.5 + number for number in range(16)],
                        "short_mscale": 1.2,
                        "long_mscale": 1.3,
                        "original_max_position_embeddings": 64,
                    },
                },
                decodes=True,
                remarks=("mlx-lm takes the long factors at every length; a window as long as the context",),
            ),
            Model(
                name="window",
                forms=("orig", "hub"),
                changes={"sliding_window": 16, "attention_bias": False, "lm_head_bias": False},
                decodes=True,
                remarks=("mlx-lm's class has no window and always biases",),
            ),
        ),
    ),
)
