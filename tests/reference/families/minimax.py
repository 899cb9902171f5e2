"""Reference models of MiniMax; rows.py says what a row means."""

from tests.reference.rows import COMMON, LAYOUT_FORMS, TEXT, Family, Model, rope

FAMILIES = (
    Family(
        model_type="minimax_m2",
        config=COMMON
        | {
            "head_dim": 32,
            "intermediate_size": 64,
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "rope_parameters": rope(partial_rotary_factor=0.5),
        },
        added={
            "rotary_dim": 16,
            "shared_intermediate_size": 0,
            "scoring_func": "sigmoid",
            "use_qk_norm": True,
            "use_routing_bias": True,
        },
        matters={"rope_parameters": rope(partial_rotary_factor=1.0)},
        models=(Model(name="base", forms=(*LAYOUT_FORMS, "fp8")),),
    ),
    Family(
        model_type="minimax_m3_vl",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": TEXT
            | {
                "num_hidden_layers": 3,
                "head_dim": 32,
                "rotary_dim": 16,
                "intermediate_size": 64,
                "dense_intermediate_size": 320,
                "shared_intermediate_size": 64,
                "num_local_experts": 6,
                "num_experts_per_tok": 2,
                "routed_scaling_factor": 1.75,
                "swiglu_alpha": 1.3,
                "swiglu_limit": 2.0,
                "rope_parameters": rope(partial_rotary_factor=0.5),
                "mlp_layer_types": ["dense", "sparse", "sparse"],
                "layer_types": ["full_attention", "minimax_m3_sparse", "full_attention"],
                "index_n_heads": 2,
                "index_head_dim": 32,
                "index_block_size": 4,
                "index_topk_blocks": 2,
                "index_local_blocks": 1,
            },
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 8,
                "patch_size": 2,
            },
            "projector_hidden_size": 16,
        },
        matters={},
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
)
