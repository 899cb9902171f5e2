"""Reference models of Google; rows.py says what a row means."""

from tests.reference.rows import COMMON, EXPERTS, MIXED, Family, Model

GEMMA4_TEXT = Family(
    model_type="gemma4_text",
    config=COMMON
    | MIXED
    | EXPERTS
    | {
        "num_experts_per_tok": None,
        "top_k_experts": 2,
        "intermediate_size": 192,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "num_global_key_value_heads": 1,
        "global_head_dim": 64,
        "attention_k_eq_v": True,
        "enable_moe_block": True,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": 128,
        "num_kv_shared_layers": 0,
        "final_logit_softcapping": 5.0,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "full_attention": {
                "rope_type": "proportional",
                "rope_theta": 51234.0,
                "partial_rotary_factor": 0.25,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 3217.0},
        },
    },
    matters={"sliding_window": 128, "final_logit_softcapping": None, "top_k_experts": 3},
    models=(Model(name="base", forms=("orig", "v5", "bf16")),),
)
FAMILIES = (
    GEMMA4_TEXT,
    Family(
        model_type="gemma4",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": dict(GEMMA4_TEXT.config),
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "patch_size": 2,
                "position_embedding_size": 4,
            },
            "audio_config": None,
            "tie_word_embeddings": True,
        },
        matters={"text_config": {**GEMMA4_TEXT.config, "final_logit_softcapping": None}},
        models=(Model(name="base", forms=("orig", "v5")),),
    ),
)
