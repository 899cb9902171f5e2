"""Reference models of Mistral AI; rows.py says what a row means."""

from typing import Any

from tests.reference.rows import ALL_FORMS, COMMON, DEFAULT_ROPE, LATENT, SIGMOID_ROUTER, TIED, YARN, Family, Model

_MISTRAL4: dict[str, Any] = (
    COMMON
    | SIGMOID_ROUTER
    | LATENT
    | {
        "max_position_embeddings": 2048,
        "rope_parameters": {
            **{key: value for key, value in YARN.items() if key != "truncate"},
            "type": "yarn",
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1,
            "original_max_position_embeddings": 16,
            "max_position_embeddings": 2048,
            "partial_rotary_factor": 0.5,
        },
    }
)
_INSIDE: dict[str, Any] = {
    "model_type": "mistral4",
    **{key: value for key, value in _MISTRAL4.items() if key != "tie_word_embeddings"},
}

FAMILIES = (
    Family(
        model_type="mistral3",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": _INSIDE,
            "vision_config": {
                "model_type": "pixtral",
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "head_dim": 8,
                "image_size": 8,
                "patch_size": 2,
            },
            "tie_word_embeddings": False,
        },
        matters={"text_config": _INSIDE | {"norm_topk_prob": False, "routed_scaling_factor": 1.0}},
        remarks=("mistral4 inside a model that sees: Mistral Small 4 as published",),
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
    Family(
        model_type="mixtral",
        config=COMMON
        | {
            "intermediate_size": 192,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "sliding_window": None,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "num_experts_per_tok": 1},
        models=(
            Model(name="base", forms=ALL_FORMS),
            TIED,
            Model(
                name="half_square",
                forms=("orig", "v5"),
                changes={"intermediate_size": 64, "num_local_experts": 4},
                remarks=("2I == H: gate_up_proj is square",),
            ),
            Model(
                name="window",
                forms=("hub",),
                changes={"sliding_window": 16},
                expected="refuse",
                remarks=("stock mlx-lm ignores sliding_window: wrong from token 16",),
            ),
        ),
    ),
    Family(
        model_type="mistral4",
        auto_class="Mistral4ForCausalLM",
        config=_MISTRAL4,
        matters={"norm_topk_prob": False, "routed_scaling_factor": 1.0},
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
)
