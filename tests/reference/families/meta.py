"""Reference models of Meta; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LLAMA3_ROPE, Family, Model

LLAMA4_TEXT = Family(
    model_type="llama4_text",
    config=COMMON
    | {
        "num_hidden_layers": 4,
        "head_dim": 32,
        "intermediate_size": 192,
        "intermediate_size_mlp": 320,
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "attention_chunk_size": 16,
        "floor_scale": 8,
        "attn_scale": 0.4,
    },
    matters={"rope_parameters": DEFAULT_ROPE, "attention_chunk_size": 512, "attn_scale": 0.1},
    models=(
        Model(name="base", forms=("orig", "hub", "bf16")),
        Model(
            name="half_square",
            forms=("orig",),
            changes={"intermediate_size": 64},
            remarks=("2I == H: gate_up_proj is square",),
        ),
        Model(
            name="square",
            forms=("orig",),
            changes={"intermediate_size": 128},
            remarks=("I == H: down_proj is square",),
        ),
        Model(name="llama3", forms=("orig", "hub"), changes=LLAMA3_ROPE),
    ),
)
FAMILIES = (
    LLAMA4_TEXT,
    Family(
        model_type="llama4",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": dict(LLAMA4_TEXT.config),
            "vision_config": {
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "vision_output_dim": 16,
                "image_size": 8,
                "patch_size": 2,
                "projector_input_dim": 16,
                "projector_output_dim": 16,
            },
            "tie_word_embeddings": False,
        },
        matters={"text_config": {**LLAMA4_TEXT.config, "attn_scale": 0.1}},
        models=(Model(name="base", forms=("orig", "bf16")),),
    ),
)
