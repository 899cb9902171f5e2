"""Reference models of inclusionAI (Ant Group); rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import COMMON, DEFAULT_ROPE, EPSILON, GROUPS, LATENT, SIGMOID_ROUTER, Family, Model

FAMILIES = (
    Family(
        model_type="bailing_hybrid",
        config=COMMON
        | SIGMOID_ROUTER
        | {key: value for key, value in LATENT.items() if key != "q_lora_rank"}
        | {
            "n_routed_experts": None,
            "num_local_experts": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "layer_group_size": 2,
            "num_hidden_layers": 4,
            "num_mtp_layers": 0,
            "pad_token_id": 0,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0, "kda_lower_bound": -2.0},
        models=(Model(name="base", forms=("orig", "v5")), replace(GROUPS, forms=("orig",)), EPSILON),
    ),
)
