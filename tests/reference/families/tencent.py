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
    Family(
        model_type="hy_v3",
        config=COMMON
        | {
            "num_hidden_layers": 3,
            "head_dim": 32,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "num_shared_experts": 1,
            "router_scaling_factor": 1.75,
        },
        # As Tencent's own config has them.
        added={
            "expert_hidden_dim": 64,
            "first_k_dense_replace": 1,
            "qk_norm": True,
            "route_norm": True,
            "moe_router_use_sigmoid": True,
            "moe_router_enable_expert_bias": True,
            "enable_lm_head_fp32": True,
            "enable_attention_fp32_softmax": False,
            "num_nextn_predict_layers": 1,
        },
        dropped=("mlp_layer_types",),
        matters={"rope_parameters": DEFAULT_ROPE, "router_scaling_factor": 1.0, "num_experts_per_tok": 2},
        remarks=("the decoder of GLM-4.5 under other names",),
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8", "mtp")),
            Model(
                name="two_shared",
                forms=("orig", "v5"),
                changes={"num_shared_experts": 2, "mlp_layer_types": ["dense", "dense", "sparse"], "head_dim": 64},
                remarks=("two shared experts, two dense layers, heads wider than hidden size / heads",),
            ),
        ),
    ),
)
