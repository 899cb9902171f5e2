"""Reference models of Arcee AI; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, Family, Model

FAMILIES = (
    Family(
        model_type="afmoe",
        config=COMMON
        | {
            "head_dim": 32,
            "num_hidden_layers": 3,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "num_dense_layers": 1,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "num_shared_experts": 1,
            "route_scale": 1.75,
            "mup_enabled": True,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        added={"n_group": 1, "topk_group": 1, "route_norm": True, "score_func": "sigmoid"},
        matters={
            "rope_parameters": DEFAULT_ROPE,
            "route_scale": 1.0,
            "sliding_window": 128,
            "mup_enabled": False,
        },
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
)
