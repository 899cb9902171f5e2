"""inclusionAI (Ant Group): Ling and Ring of three generations, called Bailing.

A row knows one model type; it never reads a checkpoint.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.configs.derivations import (
    Derivation,
    Derived,
    copied,
    dense_layers,
    first,
    full_attention_interval,
)
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import BAILING, BY_CLASS, MLX, PER_EXPERT, QWEN_FUSED, UNPROVEN, UNTIED
from hubbot.catalogue.families.row import Between, Family, Limit, Recognised
from hubbot.catalogue.reshapes import (
    CONVOLUTION,
    GROUPED_BIAS,
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


def _of_the_first(field: str, value: Any) -> Derivation:
    """Return the derivation of a key that the code of the first generation does not have, but computes so."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        is_first = config.get("architectures") == ["BailingMoeForCausalLM"]
        return Derived(value=value, keys=("architectures",)) if is_first else None

    return first(copied(field), derive)


# Ling and Ring 1.x route by a softmax over all experts, 2.0 by grouped and biased sigmoids, under one model type:
# what the one leaves out is no default of the other.
_FIRST_GENERATION: Mapping[str, Any] = {
    "score_function": "softmax",
    "n_group": 1,
    "topk_group": 1,
    "moe_router_enable_expert_bias": False,
    "routed_scaling_factor": 1.0,
    "use_qk_norm": False,
    "partial_rotary_factor": 1.0,
}
# As reshapes.GROUPED_BIAS.
_GROUPED_EXPERT_BIAS = replace(GROUPED_BIAS, pattern=r"(.*\.gate\.expert_bias)")

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="bailing_moe",
        runtime="bailing_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": BAILING, "mlx_switch": MLX},
        default_source="inclusionAI",
        defaults={
            "tie_word_embeddings": False,
            "rope_scaling": None,
            "use_bias": False,
            "use_qkv_bias": False,
            "norm_head": False,
            "rotary_dim": None,
            "moe_router_enable_routed_scaling": True,
            "moe_router_enable_shared_expert": True,
            "moe_shared_expert_intermediate_size": None,
        },
        derived={field: _of_the_first(field, value) for field, value in _FIRST_GENERATION.items()},
        limits={
            "use_bias": Limit(values=(False,), reason="mlx-lm's class loads no biases of experts"),
            "num_experts_per_tok": Limit(
                values=Between(least=2, most=1e6), reason="mlx-lm's class stops at one expert a token (mx.compile)"
            ),
            "norm_head": Limit(
                values=(False,), reason="mlx-lm's class would normalise the output layer at every load"
            ),
            "moe_router_enable_routed_scaling": Limit(
                values=(True,), reason="mlx-lm's class scales by routed_scaling_factor all the same"
            ),
            "score_function": Limit(values=("softmax", "sigmoid"), reason="mlx-lm's class knows no other scores"),
        },
        renames=((r"\.mlp\.gate\.weight$", ".mlp.gate.gate_proj.weight"),),
        reshapes=(_GROUPED_EXPERT_BIAS,),
    ),
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
    Recognised(model_type="bailing_moe_linear", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
)
