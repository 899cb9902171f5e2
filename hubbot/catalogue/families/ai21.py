"""AI21: Jamba, on a model class of hubbot's own.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family
from hubbot.catalogue.reshapes import CONVOLUTION

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="jamba",
        runtime="jamba",
        extension=Extension(
            file="jamba.py",
            reason="mlx-lm's jamba class renormalises the weights of the chosen experts, which Jamba does not",
        ),
        blocks=("feed_forward",),
        runtime_block="feed_forward",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        always={"renormalised": False, "recurrent": "mamba", "mamba_inner_norms": True, "sparse_step": None},
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
    ),
)
