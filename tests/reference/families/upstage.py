"""Reference models of Upstage; rows.py says what a row means."""

from tests.reference.rows import (
    COMMON,
    DEFAULT_ROPE,
    GROUPS,
    LAYOUT_FORMS,
    NEGATIVE,
    SIGMOID_ROUTER,
    YARN_ROPE,
    Family,
    Model,
    rope,
)

FAMILIES = (
    Family(
        model_type="solar_open",
        config=COMMON
        | {key: value for key, value in SIGMOID_ROUTER.items() if key != "first_k_dense_replace"}
        | {"head_dim": 32, "num_hidden_layers": 2, "rope_parameters": rope(partial_rotary_factor=1.0)},
        added={"first_k_dense_replace": 0},
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=LAYOUT_FORMS),
            GROUPS,
            Model(
                name="yarn",
                forms=("orig", "v5", "hub"),
                changes={**YARN_ROPE, "n_group": 4, "topk_group": 2},
                router_bias=NEGATIVE,
                decodes=True,
                remarks=("mlx-lm's class rotates without yarn; most biased scores are negative",),
            ),
        ),
    ),
)
