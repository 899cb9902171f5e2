"""Microsoft: Phi-3.5-MoE.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MIXTRAL_FUSED, MIXTRAL_PER_EXPERT, MLX
from hubbot.catalogue.families.row import Family, Limit

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="phimoe",
        runtime="phimoe",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        renormalises_one_expert=True,
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        always={"norm": "layer", "scores": "sparsemixer", "attention_bias": True, "output_bias": True},
        defaults={
            **COMMON,
            "num_key_value_heads": 8,
            "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1000000.0,
            "router_jitter_noise": 0.01,
            "num_experts_per_tok": 2,
        },
        limits={
            "num_experts_per_tok": Limit(
                values=(2,), reason="transformers' router takes two experts whatever the config says"
            )
        },
        renames=((r"\.router\.weight$", ".gate.weight"),),
        module_names=(("block_sparse_moe.gate", "mlp.router"), ("block_sparse_moe", "mlp")),
    ),
)
