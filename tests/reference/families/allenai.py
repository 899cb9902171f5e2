"""Reference models of Ai2 (Allen Institute for AI); rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LLAMA3_ROPE, YARN_ROPE, Family, Model

FAMILIES = (
    Family(
        model_type="olmoe",
        config=COMMON
        | {"intermediate_size": 192, "num_experts": 6, "num_experts_per_tok": 2, "norm_topk_prob": False},
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": True},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            Model(name="llama3", forms=("orig", "hub"), changes=LLAMA3_ROPE),
            Model(
                name="lone_mscale",
                forms=("orig", "hub"),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": {**YARN_ROPE["rope_parameters"], "mscale": 0.7},
                },
                remarks=("transformers passes over yarn's mscale where mscale_all_dim is missing",),
            ),
        ),
    ),
)
