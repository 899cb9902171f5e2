"""Families that also see: the text decoder inside is converted, the towers beside it are dropped.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import copied
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import (
    MIXTRAL_FUSED,
    MIXTRAL_PER_EXPERT,
    MLX,
    QWEN3_VL,
    QWEN3_VL_TRANSPOSED,
)
from hubbot.catalogue.families.row import Family, Limit
from hubbot.catalogue.reshapes import JOINED_GATE_UP

SEEING: tuple[Family, ...] = (
    Family(
        model_type="qwen3_vl_moe",
        runtime="qwen3_vl_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"stacked_fused": QWEN3_VL, "stacked_fused_transposed": QWEN3_VL_TRANSPOSED, "mlx_switch": MLX},
        text_args="qwen3_moe.ModelArgs",
        text_type="qwen3_vl_moe_text",
        defaults={
            **COMMON,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "norm_topk_prob": True,  # transformers' class always renormalises
            "rms_norm_eps": 1e-6,
            "rope_theta": 500000.0,
        },
        derived_head_dim=True,
        limits={
            "tie_word_embeddings": Limit(
                values=(False,), reason="mlx-lm's class asks for an output layer of its own"
            )
        },
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
        ),
        always={"qk_norm": "per_head"},
        reference="qwen3_vl_moe",
    ),
    Family(
        model_type="minimax_m3_vl",
        runtime="minimax_m3_vl",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        text_args="minimax_m3_vl.TextArgs",
        text_type="minimax_m3_vl_text",
        defaults={
            **COMMON,
            "rms_norm_eps": 1e-6,
            "rope_theta": 5000000.0,
            "routed_scaling_factor": 2.0,
            "use_qk_norm": True,
            "use_gemma_norm": True,
            "swiglu_alpha": 1.702,
            "swiglu_limit": 7.0,
            "index_local_blocks": 1,
            "moe_layer_freq": None,
            "mlp_layer_types": None,
            "layer_types": None,
            "sparse_attention_freq": None,
            "index_n_heads": None,
            "index_head_dim": None,
            "index_block_size": None,
            "index_topk_blocks": None,
            "partial_rotary_factor": 0.5,
        },
        # The published config nests what transformers 5 spells out.
        derived={
            field: copied(f"sparse_attention_config.{key}", field)
            for field, key in {
                "index_n_heads": "sparse_num_index_heads",
                "index_head_dim": "sparse_index_dim",
                "index_block_size": "sparse_block_size",
                "index_topk_blocks": "sparse_topk_blocks",
                "index_local_blocks": "sparse_local_block",
                "sparse_attention_freq": "sparse_attention_freq",
            }.items()
        },
        fixed={"sparse_attention_config": (None, "spelled out in its parts")},
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
            (r"\.indexer\.([qk]_(?:proj|norm))\.", r".index_\1."),
            (r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),
        ),
        reshapes=(JOINED_GATE_UP,),
        always={
            "activation": ("silu", "swigluoai"),
            "scores": "sigmoid",
            "selection": "biased",
            "renormalised": True,
            "qk_norm": "per_head",
            "shared_experts": 1,
        },
        reference="minimax_m3_vl",
    ),
)
