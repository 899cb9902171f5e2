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
        models=(Model(name="base", forms=LAYOUT_FORMS), replace(TIED, forms=("orig",))),
    ),
)
