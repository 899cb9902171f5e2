"""LG AI Research: K-EXAONE.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Including, Limit
from hubbot.catalogue.reshapes import GROUPED_BIAS

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="exaone_moe",
        runtime="exaone_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "rope_parameters": None,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 32,
            "num_shared_experts": 1,
            "sliding_window": 4096,
        },
        reshapes=(GROUPED_BIAS,),
        renames=((r"\.mlp\.e_score_correction_bias$", ".mlp.gate.e_score_correction_bias"),),
        neutral={"scoring_func": ("sigmoid",), "topk_method": ("noaux_tc",)},
        limits={
            "layer_types": Limit(
                values=Including(kinds=frozenset({"sliding_attention"})),
                reason="transformers has no rope in full attention, mlx-lm's class has one where nothing slides",
            )
        },
        # layer_types and is_moe_layer say the same layer by layer, and the class reads those.
        inert=("first_k_dense_replace", "sliding_window_pattern"),
        module_names=(("mlp.e_score_correction_bias", "mlp.gate.e_score_correction_bias"),),
    ),
)
