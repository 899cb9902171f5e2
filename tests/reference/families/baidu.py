"""Reference models of Baidu; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, Family, Model

FAMILIES = (
    Family(
        model_type="ernie4_5_moe",
        config=COMMON
        | {
            "num_hidden_layers": 3,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "moe_num_experts": 6,
            "moe_num_shared_experts": 1,
            "moe_k": 2,
            "moe_layer_start_index": 1,
        },
        matters={"rope_parameters": DEFAULT_ROPE},
        remarks=("stock mlx-lm deletes e_score_correction_bias and routes without it",),
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16")),
            Model(
                name="interval",
                forms=("orig",),
                changes={
                    "num_hidden_layers": 5,
                    "moe_layer_interval": 2,
                    "moe_layer_end_index": 3,
                    "moe_num_shared_experts": 0,
                    "tie_word_embeddings": True,
                    "hidden_size": 64,
                    "num_attention_heads": 2,
                    "num_key_value_heads": 1,
                    "intermediate_size": 128,
                },
                remarks=("layers 1 and 3 hold experts, none is shared",),
            ),
        ),
    ),
)
