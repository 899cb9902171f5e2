"""inclusionAI (Ant Group): Ling and Ring, called Bailing.

A row knows one model type; it never reads a checkpoint.
"""

import re

from hubbot.catalogue.configs.derivations import copied, dense_layers, first, full_attention_interval
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import BY_CLASS, MLX, PER_EXPERT, QWEN_FUSED, UNPROVEN, UNTIED
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import (
    CONVOLUTION,
    JOINED_CONVOLUTIONS,
    LATENT_HEADS,
    LATENT_NORMS,
    Config,
    Piece,
    Reshape,
)


def _is_linear_layer(found: re.Match[str], config: Config) -> bool:
    return (int(found["layer"]) + 1) % int(config["layer_group_size"]) != 0


# transformers saves the output projection of Bailing's linear attention under the name that full attention has.
_OUTPUT = Reshape(
    pattern=r"(?P<head>.*\.layers\.(?P<layer>\d+)\.attention)\.(?:dense|o_proj)\.weight",
    pieces=(Piece(name=r"\g<head>.o_proj.weight"),),
    reason="mlx-lm's BailingKDA calls it o_proj (models/bailing_moe_v3.py)",
    where=_is_linear_layer,
)
_DENSE = Reshape(
    pattern=r"(.*\.attention)\.o_proj\.weight",
    pieces=(Piece(name=r"\1.dense.weight"),),
    reason="mlx-lm's BailingMLA calls it dense (models/bailing_moe_v3.py)",
)

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="bailing_hybrid",
        runtime="bailing_moe_v3",
        runtime_type="bailing_hybrid",
        writes={"architectures": ["BailingMoeV3ForCausalLM"]},  # by which mlx-lm chooses the class
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={
            "attention": "latent",
            "attention_gate": "per_head",
            "scores": "sigmoid",
            "selection": "biased",
            "renormalised": True,
            "qk_norm": "weightless",
        },
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
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 2.5,
            "v_head_dim": 128,
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
        limits={"tie_word_embeddings": UNTIED},
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
            _OUTPUT,
            _DENSE,
            *LATENT_NORMS,
        ),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="bailing_moe", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
    Recognised(model_type="bailing_moe_linear", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
)
