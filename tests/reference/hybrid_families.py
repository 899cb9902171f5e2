"""Rows of the table: families that mix attention with recurrent layers (Mamba, gated delta, KDA).

Split from families.py for length only; the same rules hold.
"""

from dataclasses import replace
from typing import Any

from tests.reference.latent_families import LATENT
from tests.reference.rows import (
    COMMON,
    DEFAULT_ROPE,
    GROUPS,
    LAYOUT_FORMS,
    SIGMOID_ROUTER,
    Family,
    Model,
    rope,
)

GRANITE: dict[str, Any] = {
    "intermediate_size": 192,
    "shared_intermediate_size": 192,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "embedding_multiplier": 3.5,
    "logits_scaling": 1.5,
    "residual_multiplier": 0.6,
    "attention_multiplier": 0.3,
}
MAMBA: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_n_groups": 1,
    "mamba_d_state": 32,
    "mamba_d_head": 32,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_chunk_size": 16,
}
GATED_DELTA: dict[str, Any] = {
    "head_dim": 32,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "layer_types": ["linear_attention", "full_attention"],
    "rope_parameters": rope(partial_rotary_factor=0.25, mrope_section=[2, 1, 1], mrope_interleaved=True),
}

EPSILON = Model(
    name="epsilon",
    forms=("orig",),
    changes={"rms_norm_eps": 0.02},
    remarks=("transformers norms the latents with 1e-6 all the same, mlx-lm as the config says",),
)

HYBRID_FAMILIES = (
    Family(
        model_type="qwen3_5_moe_text",
        config=COMMON | GATED_DELTA,
        added={"full_attention_interval": 2},
        dropped=("layer_types",),
        matters={"rope_parameters": rope(partial_rotary_factor=1.0), "num_experts_per_tok": 3},
        remarks=("norms are stored less one: 1 is added once, in float32",),
        models=(Model(name="base", forms=("orig", "v5", "bf16", "fp8")),),
    ),
    Family(
        model_type="nemotron_h",
        config={key: value for key, value in COMMON.items() if key not in {"num_hidden_layers", "rope_parameters"}}
        | {
            "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"],
            "head_dim": 32,
            "intermediate_size": 192,
            "moe_intermediate_size": 64,
            "moe_shared_expert_intermediate_size": 128,
            "n_routed_experts": 6,
            "num_experts_per_tok": 2,
            "routed_scaling_factor": 1.75,
            "norm_topk_prob": True,
            "mamba_num_heads": 8,
            "mamba_head_dim": 32,
            "n_groups": 2,
            "ssm_state_size": 32,
            "chunk_size": 16,
            "use_mamba_kernels": False,
        },
        matters={"routed_scaling_factor": 1.0, "norm_topk_prob": False},
        added={"hybrid_override_pattern": "ME*-", "num_hidden_layers": 4},
        dropped=("layers_block_type", "layer_types", "mtp_layers_block_type"),
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16")),
            Model(
                name="clamped",
                forms=("orig",),
                changes={"time_step_min": 0.5},
                remarks=("time steps below time_step_min are raised to it, in the prompt if not in decoding",),
            ),
            Model(name="latent", forms=("orig", "v5"), changes={"moe_latent_size": 64}),
            replace(GROUPS, changes={**GROUPS.changes, "n_routed_experts": 8}),
        ),
    ),
    Family(
        model_type="granitemoehybrid",
        config=COMMON
        | GRANITE
        | MAMBA
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "position_embedding_type": "rope",
        },
        matters={"rope_parameters": DEFAULT_ROPE, "residual_multiplier": 1.0, "attention_multiplier": 0.25},
        replaced={"layer_types": ["mamba", "attention"]},
        models=(
            Model(name="base", forms=(*LAYOUT_FORMS, "bf16")),
            Model(name="no_rope", forms=("orig",), changes={"position_embedding_type": "nope"}),
            Model(
                name="groups",
                forms=("hub",),
                changes={"mamba_n_groups": 2},
                expected="refuse",
                remarks=("transformers norms each group by itself, mlx-lm's class all of them together",),
            ),
        ),
    ),
    Family(
        model_type="granitemoeshared",
        config=COMMON | GRANITE,
        matters={"rope_parameters": DEFAULT_ROPE, "residual_multiplier": 1.0, "attention_multiplier": 0.25},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
    Family(
        model_type="bailing_hybrid",
        config=COMMON
        | SIGMOID_ROUTER
        | {key: value for key, value in LATENT.items() if key != "q_lora_rank"}
        | {
            "n_routed_experts": None,
            "num_local_experts": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "layer_group_size": 2,
            "num_hidden_layers": 4,
            "num_mtp_layers": 0,
            "pad_token_id": 0,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0, "kda_lower_bound": -2.0},
        models=(Model(name="base", forms=("orig", "v5")), replace(GROUPS, forms=("orig",)), EPSILON),
    ),
    Family(
        model_type="kimi_linear",
        config={key: value for key, value in COMMON.items() if key != "rope_parameters"}
        | {k: v for k, v in SIGMOID_ROUTER.items() if k not in {"first_k_dense_replace", "n_routed_experts"}}
        | LATENT
        | {
            "q_lora_rank": None,
            "num_local_experts": 8,
            "linear_head_dim": 64,
            "linear_num_heads": 2,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
            "mlp_layer_types": ["dense", "sparse", "sparse"],
            "pad_token_id": 0,
        },
        matters={"routed_scaling_factor": 1.0, "norm_topk_prob": False},
        models=(Model(name="base", forms=("orig", "v5")), replace(GROUPS, forms=("orig",)), EPSILON),
    ),
)
