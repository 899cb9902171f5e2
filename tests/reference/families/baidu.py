"""Reference models of Baidu; rows.py says what a row means."""

from typing import Any

from tests.reference.rows import COMMON, DEFAULT_ROPE, LAYOUT_FORMS, TEXT, Family, Model, rope

TWO_KINDS: dict[str, Any] = {key: value for key, value in TEXT.items() if key != "rope_parameters"} | {
    "num_hidden_layers": 3,
    "intermediate_size": 320,
    "moe_intermediate_size": [64, 32],
    "moe_num_experts": 6,
    "moe_num_shared_experts": 1,
    "moe_k": 2,
    "rope_parameters": rope(mrope_section=[6, 6, 4]),
}
SEEING: dict[str, Any] = {
    "text_config": TWO_KINDS,
    "vision_config": {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "patch_size": 2},
    "tie_word_embeddings": False,
}

FAMILIES = (
    Family(
        model_type="ernie4_5_vl_moe",
        auto_class="AutoModelForImageTextToText",
        config=SEEING,
        matters={"text_config": TWO_KINDS | {"rope_parameters": DEFAULT_ROPE | {"mrope_section": [6, 6, 4]}}},
        remarks=("experts for text and for images in one list, of two widths; the router is stored transposed",),
        models=(
            Model(name="base", forms=("orig", "bf16")),
            Model(
                name="tied",
                forms=("orig",),
                changes={
                    "tie_word_embeddings": True,
                    "text_config": TWO_KINDS
                    | {"moe_intermediate_size": [64, 64], "mlp_layer_types": ["dense", "dense", "sparse"]},
                },
                remarks=("both kinds of experts are as wide; two dense layers",),
            ),
        ),
    ),
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
