"""LG AI Research: K-EXAONE.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import copied, first, periodic
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
        # As transformers' config class does, where a config leaves the list out.
        derived={
            "layer_types": first(
                copied("layer_types"),
                periodic("sliding_window_pattern", nth="full_attention", others="sliding_attention", default=4),
            )
        },
        always={"scores": "sigmoid", "selection": "biased", "qk_norm": "per_head"},
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
        limits={
            "layer_types": Limit(
                values=Including(kinds=frozenset({"sliding_attention"})),
                reason="transformers has no rope in full attention, mlx-lm's class has one where nothing slides",
            )
        },
        module_names=(("mlp.e_score_correction_bias", "mlp.gate.e_score_correction_bias"),),
    ),
)
