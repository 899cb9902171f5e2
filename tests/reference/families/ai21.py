"""Reference models of AI21; rows.py says what a row means."""

from tests.reference.rows import COMMON, Family, Model

FAMILIES = (
    Family(
        model_type="jamba",
        config={key: value for key, value in COMMON.items() if key != "rope_parameters"}
        | {
            "intermediate_size": 192,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "use_mamba_kernels": False,
        },
        matters={"num_experts_per_tok": 1},
        remarks=("stock mlx-lm renormalises the top-k weights; Jamba does not",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="periods",
                forms=("orig",),
                changes={
                    "hidden_size": 64,
                    "num_attention_heads": 2,
                    "num_key_value_heads": 1,
                    "intermediate_size": 64,
                    "num_hidden_layers": 6,
                    "num_experts": 4,
                    "expert_layer_period": 3,
                    "attn_layer_period": 4,
                    "attn_layer_offset": 2,
                    "tie_word_embeddings": True,
                },
                remarks=("stock mlx-lm counts a period of three from its other end: layers 2 and 5 for 1 and 4",),
            ),
        ),
    ),
)
