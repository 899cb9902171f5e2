"""Reference models of Tencent; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, Family, Model

FAMILIES = (
    Family(
        model_type="hunyuan_v1_moe",
        config=COMMON | {"head_dim": 32, "intermediate_size": 192, "num_experts": 6, "moe_topk": 2},
        # As Tencent's own config has them: some values once a layer, and switches that transformers does not read.
        added={
            "moe_intermediate_size": [192, 192],
            "num_shared_expert": [1, 1],
            "attention_head_dim": 64,
            "use_cla": False,
            "cla_share_factor": 1,
            "use_qk_norm": True,
            "use_mixed_mlp_moe": True,
            "norm_topk_prob": True,
            "norm_type": "rms",
            "moe_layer_num_skipped": 0,
        },
        rope_kind="type",
        matters={"rope_parameters": DEFAULT_ROPE},
        remarks=("stock mlx-lm routes without renormalising the top-k weights",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="alpha",
                forms=("orig", "hub"),
                changes={
                    "head_dim": 64,
                    "moe_topk": [3, 3],
                    "tie_word_embeddings": True,
                    "rope_parameters": {
                        "rope_type": "dynamic",
                        "rope_theta": 51234.0,
                        "alpha": 50.0,
                        "factor": 1.0,
                    },
                },
                remarks=("NTK-alpha rope, tied, heads wider than hidden size / heads",),
            ),
        ),
    ),
)
