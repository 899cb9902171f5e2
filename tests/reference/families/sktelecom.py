"""Reference models of SK Telecom; rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import (
    COMMON,
    DECIDED,
    GROUPS,
    LATENT,
    LAYOUT_FORMS,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    TIED,
    YARN_ROPE,
    Family,
    Model,
)

FAMILIES = (
    Family(
        model_type="axk1",
        config=COMMON | {k: v for k, v in SIGMOID_ROUTER.items() if k != "first_k_dense_replace"} | LATENT,
        added={**SIGMOID_CHOICE, "first_k_dense_replace": 1},
        dropped=("mlp_layer_types",),
        rope_kind="type",
        matters=DECIDED,
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16", "fp8")),
            GROUPS,
            Model(name="yarn", forms=("orig", "hub"), changes=YARN_ROPE, decodes=True),
            replace(TIED, forms=("orig",)),
        ),
    ),
)
