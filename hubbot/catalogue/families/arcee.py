"""Arcee AI: AFMoE (Trinity).

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import copied, first, periodic
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import ONE_GROUP, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="afmoe",
        runtime="afmoe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        # As transformers' config class does, where a config leaves the list out.
        derived={
            "layer_types": first(
                copied("layer_types"),
                periodic(
                    "global_attn_every_n_layers", nth="full_attention", others="sliding_attention", default=4
                ),
            )
        },
        always={"selection": "biased", "qk_norm": "per_head", "attention_gate": "elementwise"},
        defaults={
            **COMMON,
            "score_func": "sigmoid",
            "route_norm": True,
            "n_group": 1,
            "topk_group": 1,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "head_dim": 128,
            "mup_enabled": False,
            "num_dense_layers": 1,
            "num_experts_per_tok": 6,
            "num_shared_experts": 2,
            "route_scale": 1.0,
            "sliding_window": 1024,
        },
        limits={"n_group": ONE_GROUP},
        expert_module="experts",
    ),
)
