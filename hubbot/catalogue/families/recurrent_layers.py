"""Families that mix attention with recurrent layers: convolutions, Mamba, gated delta rules.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import (
    block_count,
    block_pattern,
    clamped_time_steps,
    copied,
    dense_layers,
    every_layer,
    first,
    full_attention_interval,
    full_attention_layers,
    linear_attention,
    listed,
    mamba_head_width,
)
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import (
    GATELESS,
    GATELESS_STACKED,
    GRANITE,
    MIXTRAL_FUSED,
    MIXTRAL_PER_EXPERT,
    MLX,
    NATIVE_FUSED,
    PER_EXPERT,
    QWEN_FUSED,
)
from hubbot.catalogue.families.row import Family, Limit, Provenance
from hubbot.catalogue.reshapes import (
    BAILING_DENSE,
    BAILING_OUTPUT,
    CONVOLUTION,
    GROUPED_BIAS,
    JOINED_CONVOLUTIONS,
    KIMI_CONVOLUTIONS,
    LATENT_HEADS,
    latent_norms,
    plus_one,
)

_INFINITE = [0.0, {"__float__": "Infinity"}]
_AROUND_ZERO = plus_one(
    r".*(?:input_layernorm|post_attention_layernorm|model\.norm|\.q_norm|\.k_norm)\.weight",
    "Qwen3-Next stores its norms less one (transformers 5.23, Qwen3NextRMSNorm); mlx-lm's class multiplies them",
)
_QWEN_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "partial_rotary_factor": 0.25,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
_DELTA_NET: dict[str, Any] = {
    "always": {"qk_norm": "per_head", "attention_gate": "elementwise"},
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "derived_head_dim": True,
    "reshapes": (CONVOLUTION, _AROUND_ZERO),
}
_QWEN_35: dict[str, Any] = {
    **_DELTA_NET,
    "runtime": "qwen3_5_moe",
    "layouts": {"per_expert": PER_EXPERT, "stacked_fused": NATIVE_FUSED, "mlx_switch": MLX},
    "defaults": {
        **{key: value for key, value in _QWEN_DEFAULTS.items() if key != "mlp_only_layers"},
        "intermediate_size": 0,
    },
    "text_args": "qwen3_5.TextModelArgs",
    "text_type": "qwen3_5_moe_text",
}
# transformers norms latents with 1e-6 whatever the config says, mlx-lm's classes as the config says.
_LATENT_NORMS = latent_norms(lambda config: float(config["rms_norm_eps"]))
_UNTIED = Limit(values=(False,), reason="transformers keeps an output layer of its own for this family")
_KINDS: Mapping[str, str] = {
    "linear_attention": "mamba", "mamba": "mamba", "full_attention": "attention", "attention": "attention",
}  # fmt: skip
_GRANITE_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "logits_scaling": 1.0,
    "attention_multiplier": 1.0,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "time_step_limit": _INFINITE,
}
_GRANITE_LAYOUTS: Mapping[str, Provenance] = {
    "granite_fused": GRANITE,
    "stacked_fused": GRANITE,
    "mlx_switch": MLX,
}

RECURRENT_LAYERS: tuple[Family, ...] = (
    Family(
        model_type="lfm2_moe",
        runtime="lfm2_moe",
        blocks=("feed_forward",),
        runtime_block="feed_forward",
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "norm_topk_prob": True,
            "use_expert_bias": True,
            "conv_bias": False,
            "norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "tie_word_embeddings": True,
        },
        renames=(
            (r"\.w1\.weight$", ".gate_proj.weight"),
            (r"\.w2\.weight$", ".down_proj.weight"),
            (r"\.w3\.weight$", ".up_proj.weight"),
        ),
        derived={"full_attn_idxs": full_attention_layers},
        reshapes=(CONVOLUTION,),
        always={"scores": "sigmoid", "tied": True, "qk_norm": "per_head"},
        reference="lfm2_moe",
    ),
    Family(
        model_type="qwen3_next",
        runtime="qwen3_next",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults=_QWEN_DEFAULTS,
        reference="qwen3_next",
        **_DELTA_NET,
    ),
    Family(
        model_type="qwen3_5_moe",
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
        ),
        reference="qwen3_5_moe",
        **_QWEN_35,
    ),
    Family(
        model_type="qwen3_5_moe_text",
        renames=((r"^", "language_model."),),
        reference="qwen3_5_moe_text",
        **_QWEN_35,
    ),
    Family(
        model_type="nemotron_h",
        runtime="nemotron_h",
        blocks=("mixer",),
        runtime_block="mixer",
        layouts={"gateless": GATELESS, "stacked_gateless": GATELESS_STACKED},
        expert_names={"up": "fc1", "down": "fc2"},
        defaults={
            **COMMON,
            **GROUPED,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
            "layer_norm_epsilon": 1e-5,
            "use_bias": False,
            "use_conv_bias": True,
            "mamba_proj_bias": False,
            "n_shared_experts": 1,
            "moe_latent_size": None,
            "time_step_min": 0.001,
            "time_step_max": 0.1,
        },
        derived={
            "hybrid_override_pattern": block_pattern,
            "num_hidden_layers": block_count,
            # The class clamps at this alone; in transformers time_step_min is the lower bound (parity, item 4).
            "time_step_limit": clamped_time_steps,
        },
        fixed={
            "layers_block_type": (None, "spelled out in hybrid_override_pattern"),
            "layer_types": (None, "spelled out in hybrid_override_pattern"),
        },
        renames=((r"^model\.", "backbone."),),
        reshapes=(CONVOLUTION, GROUPED_BIAS),
        always={
            "activation": "relu2",
            "rope": "none",
            "recurrent": "mamba",
            "scores": "sigmoid",
            "selection": "biased",
        },
        reference="nemotron_h",
    ),
    Family(
        model_type="granitemoehybrid",
        runtime="granitemoehybrid",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts=_GRANITE_LAYOUTS,
        defaults={**_GRANITE_DEFAULTS, "position_embedding_type": "nope"},
        derived={"layer_types": listed("layer_types", _KINDS), "mamba_d_head": mamba_head_width},
        limits={
            "mamba_n_groups": Limit(
                values=(None, 1), reason="mlx-lm's class norms all groups together, transformers each by itself"
            )
        },
        renames=((r"\.router\.weight$", ".router.layer.weight"),),
        reshapes=(CONVOLUTION,),
        always={"renormalised": True, "recurrent": "mamba"},
        reference="granitemoehybrid",
    ),
    Family(
        model_type="granitemoeshared",
        runtime="granitemoehybrid",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        layouts=_GRANITE_LAYOUTS,
        defaults={
            **_GRANITE_DEFAULTS,
            **dict.fromkeys(
                (
                    "mamba_n_heads",
                    "mamba_d_head",
                    "mamba_proj_bias",
                    "mamba_d_state",
                    "mamba_d_conv",
                    "mamba_n_groups",
                    "mamba_conv_bias",
                )
            ),
            "position_embedding_type": "rope",
        },
        derived={"layer_types": every_layer("attention")},
        renames=((r"\.router\.weight$", ".router.layer.weight"),),
        always={"renormalised": True},
        reference="granitemoeshared",
    ),
    Family(
        model_type="kimi_linear",
        runtime="kimi_linear",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="mlp",
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "rope_theta": 10000.0,
            "mla_use_nope": True,
            "moe_router_activation_func": "sigmoid",
            "moe_renormalize": True,
            "moe_layer_freq": 1,
            "use_grouped_topk": True,
            "num_expert_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "rms_norm_eps": 1e-5,
        },
        derived={"linear_attn_config": linear_attention},
        limits={"tie_word_embeddings": _UNTIED},
        renames=(
            (r"\.block_sparse_moe\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),
            (r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),
            (r"\.forget_gate\.", "."),
        ),
        reshapes=(LATENT_HEADS, *KIMI_CONVOLUTIONS, GROUPED_BIAS, *_LATENT_NORMS),
        always={"attention": "latent", "rope": "none", "scores": "sigmoid", "selection": "biased"},
        reference="kimi_linear",
    ),
    Family(
        model_type="bailing_hybrid",
        runtime="bailing_moe_v3",
        runtime_type="bailing_hybrid",
        writes={"architectures": ["BailingMoeV3ForCausalLM"]},  # by which mlx-lm chooses the class
        blocks=("mlp",),
        runtime_block="mlp",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        defaults={
            **COMMON,
            "q_lora_rank": None,
            "first_k_dense_replace": 2,
            "layer_group_size": 6,
            "short_conv_kernel_size": 4,
            "kda_safe_gate": True,
            "kda_lower_bound": -5.0,
            "no_kda_lora": True,
            "n_group": 8,
            "topk_group": 4,
            "rope_interleave": True,
            "rms_norm_eps": 1e-6,
            "rope_theta": 6000000.0,
        },
        derived={
            "layer_group_size": first(full_attention_interval, copied("layer_group_size")),
            "first_k_dense_replace": first(dense_layers, copied("first_k_dense_replace")),
            "short_conv_kernel_size": copied("linear_conv_kernel_dim", "short_conv_kernel_size"),
            # transformers overwrites head_dim with the rotary width and keeps it as linear_head_dim.
            "head_dim": copied("linear_head_dim", "head_dim"),
            "rope_theta": first(copied("rope_parameters.rope_theta"), copied("rope_theta")),
            "moe_shared_expert_intermediate_size": copied(
                "moe_shared_expert_intermediate_size", "moe_intermediate_size"
            ),
        },
        limits={"tie_word_embeddings": _UNTIED},
        renames=(
            (r"\.self_attn\.forget_gate\.", ".attention."),
            (r"\.self_attn\.", ".attention."),
            (r"\.gate\.e_score_correction_bias$", ".gate.expert_bias"),
            (r"^model\.embed_tokens\.", "model.word_embeddings."),
        ),
        reshapes=(
            LATENT_HEADS,
            JOINED_CONVOLUTIONS,
            CONVOLUTION,
            BAILING_OUTPUT,
            BAILING_DENSE,
            *_LATENT_NORMS,
        ),
        always={
            "attention": "latent",
            "attention_gate": "per_head",
            "scores": "sigmoid",
            "selection": "biased",
            "renormalised": True,
            "qk_norm": "weightless",
        },
        reference="bailing_hybrid",
    ),
)
