"""Reference models of Cohere; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, Family, Model

FAMILIES = (
    Family(
        model_type="cohere2_moe",
        config={
            **COMMON,
            "num_hidden_layers": 5,
            "head_dim": 64,
            "intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "num_shared_experts": 2,
            "logit_scale": 0.25,
            "rope_theta": 51234.0,
            "sliding_window": 16,
            "tie_word_embeddings": True,
            "layer_types": ["full_attention", *["sliding_attention"] * 3, "full_attention"],
            "mlp_layer_types": ["dense", "sparse", "sparse", "sparse", "sparse"],
            "prefix_dense_intermediate_size": 192,
            "pad_token_id": 0,
        },
        matters={
            "rope_parameters": DEFAULT_ROPE,
            "sliding_window": 128,
            "logit_scale": 0.0625,
            "shared_expert_combination_strategy": "sum",
            "expert_selection_fn": "sigmoid",
            "prefix_dense_sliding_window_pattern": 4,
            "num_experts_per_tok": 3,
        },
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16")),
            Model(
                name="sigmoid",
                forms=("orig", "v5"),
                changes={
                    "expert_selection_fn": "sigmoid",
                    "shared_expert_combination_strategy": "sum",
                    "prefix_dense_sliding_window_pattern": 4,
                    "rms_norm_eps": 1e-5,
                    "attention_bias": True,
                    "tie_word_embeddings": False,
                },
                decodes=True,
                remarks=("RMSNorm, and a dense layer without positions",),
            ),
            Model(
                name="unshared",
                forms=("orig",),
                changes={
                    "num_shared_experts": 0,
                    "expert_selection_fn": "sigmoid",
                    "norm_topk_prob": False,
                    "prefix_dense_intermediate_size": None,
                    "num_experts_per_tok": 1,
                },
                remarks=("a single expert, weighted by its sigmoid",),
            ),
        ),
    ),
)
