"""Reference models of Liquid AI; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, Family, Model

FAMILIES = (
    Family(
        model_type="lfm2_moe",
        config=COMMON
        | {
            "num_hidden_layers": 4,
            "intermediate_size": 192,
            "moe_intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "num_dense_layers": 1,
            "conv_L_cache": 3,
            "routed_scaling_factor": 1.0,
            "tie_word_embeddings": True,
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
        },
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
)
