"""Reference models of NVIDIA; rows.py says what a row means."""

from dataclasses import replace

from tests.reference.rows import COMMON, GROUPS, LAYOUT_FORMS, Family, Model

FAMILIES = (
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
)
