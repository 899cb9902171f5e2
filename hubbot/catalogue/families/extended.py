"""Families that run on a model class of hubbot's own, because mlx-lm's class computes something else.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family
from hubbot.catalogue.reshapes import CONVOLUTION

EXTENDED: tuple[Family, ...] = (
    Family(
        model_type="jamba",
        runtime="jamba",
        extension=Extension(
            file="jamba.py",
            reason="mlx-lm's jamba class renormalises the weights of the chosen experts, which Jamba does not",
        ),
        blocks=("feed_forward",),
        runtime_block="feed_forward",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "attn_layer_offset": 4,
            "attn_layer_period": 8,
            "expert_layer_offset": 1,
            "expert_layer_period": 2,
            "mamba_d_conv": 4,
            "mamba_d_state": 16,
            "mamba_expand": 2,
            "mamba_dt_rank": "auto",
            "mamba_conv_bias": True,
            "mamba_proj_bias": False,
            "rms_norm_eps": 1e-6,
        },
        renames=((r"\.router\.weight$", ".gate.weight"),),
        reshapes=(CONVOLUTION,),
        always={"renormalised": False, "recurrent": "mamba", "mamba_inner_norms": True, "sparse_step": None},
        reference="jamba",
    ),
    Family(
        model_type="ernie4_5_moe",
        runtime="ernie4_5_moe",
        extension=Extension(
            file="ernie4_5_moe.py",
            reason="mlx-lm's ernie4_5_moe class throws away the router's correction biases and so chooses other "
            "experts",
        ),
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        defaults={
            **COMMON,
            "tie_word_embeddings": True,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "use_bias": False,
            "moe_num_experts": 64,
            "moe_num_shared_experts": 2,
            "moe_intermediate_size": 1536,
            "moe_k": 6,
            "moe_norm_min": 1e-12,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": -1,
            "moe_layer_interval": 1,
        },
        derived_head_dim=True,
        renames=((r"\.mlp\.(?:gate\.)?moe_statics\.e_score_correction_bias$", ".mlp.expert_bias"),),
        always={"selection": "biased", "renormalised": True},
        reference="ernie4_5_moe",
    ),
)
