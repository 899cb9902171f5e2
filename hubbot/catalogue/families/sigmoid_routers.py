"""Families whose router takes sigmoid scores with a correction bias for the choice, with plain attention.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import copied, first, periodic
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import (
    MIXTRAL_FUSED,
    MIXTRAL_PER_EXPERT,
    MLX,
    ONE_GROUP,
    PER_EXPERT,
    QWEN_FUSED,
)
from hubbot.catalogue.families.row import Family, Limit, Naming
from hubbot.catalogue.reshapes import GROUPED_BIAS

SIGMOID_ROUTERS: tuple[Family, ...] = (
    Family(
        model_type="dots1",
        runtime="dots1",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        defaults={
            **COMMON,
            "norm_topk_prob": False,
            "scoring_func": "noaux_tc",
            "routed_scaling_factor": 1.0,
            "n_group": 1,
            "topk_group": 1,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
        },
        derived_head_dim=True,
        reshapes=(GROUPED_BIAS,),
        expert_module="experts",
        always={"scores": "sigmoid", "selection": "biased", "qk_norm": "per_head"},
        reference="dots1",
    ),
    Family(
        model_type="glm4_moe",
        runtime="glm4_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
        derived_head_dim=True,
        reshapes=(GROUPED_BIAS,),
        always={"scores": "sigmoid", "selection": "biased"},
        reference="glm4_moe",
    ),
    Family(
        model_type="solar_open",
        runtime="solar_open",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "partial_rotary_factor": 1.0,
            "first_k_dense_replace": 0,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
        },
        reshapes=(GROUPED_BIAS,),
        always={"scores": "sigmoid", "selection": "biased"},
        reference="solar_open",
    ),
    Family(
        model_type="minimax_m2",
        runtime="minimax",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "scoring_func": "sigmoid",
            "shared_intermediate_size": 0,
            "use_qk_norm": True,
            "rms_norm_eps": 1e-6,
            "rope_theta": 5000000.0,
        },
        renames=((r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),),
        always={"scores": "sigmoid", "selection": "biased", "renormalised": True, "qk_norm": "per_layer"},
        reference="minimax_m2",
    ),
    Family(
        model_type="exaone_moe",
        runtime="exaone_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            **GROUPED,
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "rope_parameters": None,
        },
        reshapes=(GROUPED_BIAS,),
        renames=((r"\.mlp\.e_score_correction_bias$", ".mlp.gate.e_score_correction_bias"),),
        derived={
            "layer_types": first(
                copied("layer_types"),
                periodic("sliding_window_pattern", nth="full_attention", others="sliding_attention", default=4),
            )
        },
        limits={
            "layer_types": Limit(
                values=Naming(kinds=frozenset({"sliding_attention"})),
                reason="transformers has no rope in full attention, mlx-lm's class has one where nothing slides",
            )
        },
        always={"scores": "sigmoid", "selection": "biased", "qk_norm": "per_head"},
        reference="exaone_moe",
    ),
    Family(
        model_type="afmoe",
        runtime="afmoe",
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        defaults={
            **COMMON,
            "score_func": "sigmoid",
            "route_norm": True,
            "n_group": 1,
            "topk_group": 1,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
        },
        limits={"n_group": ONE_GROUP},
        # As transformers' config class does, where a config leaves the list out.
        derived={
            "layer_types": first(
                copied("layer_types"),
                periodic(
                    "global_attn_every_n_layers", nth="full_attention", others="sliding_attention", default=4
                ),
            )
        },
        expert_module="experts",
        always={"selection": "biased", "qk_norm": "per_head", "attention_gate": "elementwise"},
        reference="afmoe",
    ),
)
