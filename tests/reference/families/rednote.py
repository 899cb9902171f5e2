"""Reference models of rednote (hilab); rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, GROUPS, SIGMOID_ROUTER, YARN_ROPE, Family, Model

FAMILIES = (
    Family(
        model_type="dots1",
        config=COMMON
        | SIGMOID_ROUTER
        | {"head_dim": 32, "n_shared_experts": 2, "sliding_window": None, "max_window_layers": 3},
        added={"scoring_func": "noaux_tc"},
        dropped=("layer_types",),
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            GROUPS,
            Model(name="yarn", forms=("orig", "hub"), changes=YARN_ROPE),
        ),
    ),
)
