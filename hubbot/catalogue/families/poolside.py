"""Poolside: Laguna.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.configs.derivations import copied, every_layer, first, repeated
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="laguna",
        runtime="laguna",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={
            "scores": "sigmoid",
            "selection": "biased",
            "attention_gate": "per_head",
            "qk_norm": "per_head",
            "renormalised": True,
        },
        defaults={
            **COMMON,
            "qkv_bias": False,
            "gating": True,
            "partial_rotary_factor": None,
            "moe_routed_scaling_factor": 1.0,
            "moe_router_logit_softcapping": 0.0,
            "moe_router_score_func": "sigmoid",
            "rms_norm_eps": 1e-6,
            "sliding_window": 512,
            "head_dim": 128,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
        },
        derived={
            "num_attention_heads_per_layer": first(
                copied("num_attention_heads_per_layer"), repeated("num_attention_heads")
            ),
            "layer_types": first(copied("layer_types"), every_layer("full_attention")),
        },
        keeps_rope_parameters=True,
        rope_reads=("partial_rotary_factor",),
        renames=(
            (r"\.mlp\.gate\.weight$", ".mlp.gate.proj.weight"),
            (r"\.mlp\.experts\.e_score_correction_bias$", ".mlp.gate.e_score_correction_bias"),
            (r"\.mlp\.shared_experts\.", ".mlp.shared_expert."),
        ),
        module_names=(
            ("mlp.experts.e_score_correction_bias", "mlp.gate.e_score_correction_bias"),
            ("mlp.shared_expert", "mlp.shared_experts"),
        ),
    ),
)
