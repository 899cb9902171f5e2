"""Kimi (Moonshot AI): K2 on the class of DeepSeek-V3, alone and in models that see, and Kimi-Linear.

A row knows one model type; it never reads a checkpoint.
"""

import re
from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derived
from hubbot.catalogue.families.defaults import COMMON, LATENT
from hubbot.catalogue.families.provenances import (
    MIXTRAL_FUSED,
    MIXTRAL_PER_EXPERT,
    MLX,
    PER_EXPERT,
    QWEN_FUSED,
    UNTIED,
)
from hubbot.catalogue.families.row import Between, Family, Limit, Provenance, TiktokenSpecials
from hubbot.catalogue.reshapes import (
    GROUPED_BIAS,
    JOINED_CONVOLUTIONS,
    LATENT_HEADS,
    LATENT_NORMS,
    Piece,
    Reshape,
    joined,
    transposed,
)
from hubbot.catalogue.towers import Tower


def _linear_attention(config: Mapping[str, Any]) -> Derived | None:
    """Kimi-Linear's linear_attn_config, with layers counted from 1; transformers 5 has it flat, or both."""
    nested, flat = config.get("linear_attn_config"), _flat_linear_attention(config)
    if not isinstance(nested, Mapping):
        return flat
    agrees = flat is not None and all(nested.get(key) == value for key, value in flat.value.items())
    keys = ("linear_attn_config", *(flat.keys if flat is not None and agrees else ()))
    return Derived(value=dict(nested), keys=keys)


def _flat_linear_attention(config: Mapping[str, Any]) -> Derived | None:
    kinds = config.get("layer_types")
    names = ("linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim")
    # mlx-lm's class looks for the first layer of each kind, so both must be there.
    if not isinstance(kinds, list) or set(kinds) != {"full_attention", "linear_attention"}:
        return None
    if not all(isinstance(config.get(name), int) for name in names):
        return None
    value = {
        "full_attn_layers": [n for n, kind in enumerate(kinds, 1) if kind == "full_attention"],
        "kda_layers": [n for n, kind in enumerate(kinds, 1) if kind == "linear_attention"],
        "head_dim": config["linear_head_dim"],
        "num_heads": config["linear_num_heads"],
        "short_conv_kernel_size": config["linear_conv_kernel_dim"],
    }
    return Derived(value=value, keys=("layer_types", *names))


# Kimi-Linear's class keeps the convolutions of queries, keys and values in modules of their own.
_CONVOLUTIONS = (
    Reshape(
        pattern=r"(.*\.[qkv]_conv)1d\.weight",
        pieces=(Piece(name=r"\1.conv.weight", steps=transposed),),
        reason="torch stores convolutions [out, in, width], MLX [out, width, in] (models/kimi_linear.py)",
    ),
    Reshape(
        pattern=r"(.*)\.conv1d\.weight",
        pieces=tuple(
            Piece(name=rf"\1.{part}_conv.conv.weight", steps=transposed, part=(number, 3))
            for number, part in enumerate("qkv")
        ),
        reason=JOINED_CONVOLUTIONS.reason,
    ),
)

_DEEPSEEK_V3: dict[str, Any] = {
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": False,
    "always": {"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
    "defaults": {
        **COMMON,
        **LATENT,
        "n_group": 8,
        "topk_group": 4,
        "rms_norm_eps": 1e-6,
        "first_k_dense_replace": 3,
        "kv_lora_rank": 512,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 128,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "routed_scaling_factor": 2.5,
        "v_head_dim": 128,
    },
    "reshapes": (LATENT_HEADS, GROUPED_BIAS),
}

_K3 = Provenance(order=None, source="mlx-lm 0.32.2 and SGLang, models/kimi_k3.py: w1 is the gate, w3 up, w2 down")


def _is_delta_layer(found: re.Match[str], config: Mapping[str, Any]) -> bool:
    """Say whether a layer is linear; the others' queries, where they have no rank, keep a module of their own."""
    layer = re.search(r"\.layers\.(\d+)\.", found[0])
    return layer is not None and int(layer[1]) + 1 in config["linear_attn_config"]["kda_layers"]


# num_reserved_special_tokens is 256, to which the code of K2, Linear and Moonlight adds 2.
_SPECIALS = TiktokenSpecials(count=258)


def _placeholder(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the token that stands for an image: transformers 5 calls it image_token_id."""
    token = config.get("media_placeholder_token_id", config.get("image_token_id"))
    return {} if token is None else {"media_placeholder_token_id": token}


# What mlx-vlm's class calls the tower's sizes -> what transformers 5 and the published config call them.
_MOONVIT: Mapping[str, tuple[str, ...]] = {
    "depth": ("num_hidden_layers", "vt_num_hidden_layers"),
    "hidden_size": ("hidden_size", "vt_hidden_size"),
    "embed_dim": ("hidden_size", "vt_hidden_size"),
    "num_heads": ("num_attention_heads", "vt_num_attention_heads"),
    "intermediate_size": ("intermediate_size", "vt_intermediate_size"),
    "init_pos_emb_height": ("pos_emb_height", "init_pos_emb_height"),
    "init_pos_emb_width": ("pos_emb_width", "init_pos_emb_width"),
}


def _moonvit(config: Mapping[str, Any]) -> dict[str, Any]:
    vision = config["vision_config"]
    told = {name: next((vision[key] for key in keys if key in vision), None) for name, keys in _MOONVIT.items()}
    return {"model_type": "moonvit", **{name: value for name, value in told.items() if value is not None}}


FAMILIES: tuple[Family, ...] = (
    # DeepSeek-V3 with other numbers; its own name would hide the tokenizer's class.
    Family(
        model_type="kimi_k2",
        runtime="deepseek_v3",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        transformers_type="deepseek_v3",
        tiktoken=_SPECIALS,
        **_DEEPSEEK_V3,
    ),
    # K2.5, K2.6 and K2.7: the same decoder in a model that also sees.
    Family(
        model_type="kimi_k25",
        tiktoken=TiktokenSpecials(count=256, sees=True),
        runtime="kimi_k25",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        text_args="deepseek_v3.ModelArgs",
        text_type="deepseek_v3",
        renames=(
            # As transformers saves it: its rename of the tower's layers to blocks takes the text's along.
            (r"^(language_model\.model)\.blocks\.", r"\1.layers."),
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
        ),
        module_names=(("language_model.model", "model.language_model"), ("language_model.lm_head", "lm_head")),
        tower=Tower(
            renames=(
                (r"^vision_tower\.encoder\.patch_embed\.", "vision_tower.patch_embed."),
                (r"^(vision_tower)\.encoder\.(blocks\.\d+)\.(wqkv|wo)\.", r"\1.\2.attn.\3."),
                (r"^vision_tower\.encoder\.", "vision_tower."),
                # transformers 5 saves the projector's norm under "model.", and nothing else of it.
                (r"^(?:model\.)?(mm_projector)\.", r"\1."),
                (r"^(vision_tower\.patch_embed)\.", r"\1."),
            ),
            convolutions=r"vision_tower\.patch_embed\.proj\.weight",
            outer=("image_token_id",),
            told=_placeholder,
            differences=("it resamples positions by another bicubic kernel: tiny logits differ by up to 2e-1",),
            vision=_moonvit,
        ),
        **_DEEPSEEK_V3,
    ),
    Family(
        model_type="kimi_vl",
        runtime="kimi_vl",
        layouts={"per_expert": PER_EXPERT, "mlx_switch": MLX},
        text_args="kimi_vl.TextArgs",
        text_type="deepseek_v3",
        transformers_type="kimi_k25",  # the same decoder, under another tower
        **_DEEPSEEK_V3,
    ),
    Family(
        model_type="kimi_linear",
        tiktoken=_SPECIALS,
        runtime="kimi_linear",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "rope": "none", "scores": "sigmoid", "selection": "biased"},
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
            "kv_lora_rank": 512,
            "num_key_value_heads": 32,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 2.446,
            "v_head_dim": 128,
        },
        derived={"linear_attn_config": _linear_attention},
        limits={"tie_word_embeddings": UNTIED},
        renames=(
            (r"\.block_sparse_moe\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),
            (r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),
            (r"\.forget_gate\.", "."),
        ),
        reshapes=(LATENT_HEADS, *_CONVOLUTIONS, GROUPED_BIAS, *LATENT_NORMS),
        module_names=(
            ("block_sparse_moe.experts", "mlp.experts"),
            ("block_sparse_moe.gate", "mlp.gate"),
            ("block_sparse_moe.shared_experts", "mlp.shared_experts"),
        ),
    ),
    # K3's text: Kimi-Linear's attention, experts in a latent space, residuals that attend to earlier ones.
    Family(
        model_type="kimi_k3",
        runtime="kimi_k3",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert_w": _K3, "mlx_switch": MLX},
        text_args="kimi_k3.TextArgs",
        text_type="kimi_linear",
        text_types=("kimi_linear",),
        default_source="Moonshot AI",
        always={
            "activation": "situ",
            "attention": "latent",
            "rope": "none",
            "scores": "sigmoid",
            "selection": "biased",
        },
        defaults={
            "tie_word_embeddings": False,
            "activation_situ_linear_beta": None,
            "q_lora_rank": None,
            "moe_renormalize": True,
            "moe_layer_freq": 1,
            "num_expert_group": 1,
            "topk_group": 1,
        },
        limits={
            "tie_word_embeddings": UNTIED,
            "mla_use_nope": Limit(values=(True,), reason="mlx-lm's class attends without positions alone"),
            "num_experts_per_token": Limit(
                values=Between(least=2, most=1e6),
                reason="mlx-lm's class leaves the weight of a single expert as it is, others renormalise it",
            ),
            "attn_res_block_size": Limit(
                values=Between(least=1, most=1e6), reason="the reference attends to residuals, as the model does"
            ),
            "routed_expert_hidden_size": Limit(
                values=Between(least=1, most=1e6), reason="the reference's experts work in a latent space"
            ),
        },
        renames=((r"\.(?:block_sparse_moe|mlp)\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),),
        reshapes=(
            LATENT_HEADS,
            GROUPED_BIAS,
            *joined(
                r"(.*\.self_attn)\.{part}_proj\.weight",
                "qkv",
                r"\1.qkv_proj.weight",
                "mlx-lm's class joins queries, keys and values of its linear layers (models/kimi_k3.py, sanitize)",
                where=_is_delta_layer,
            ),
            *joined(
                r"(.*\.self_attn)\.{part}_conv1d\.weight",
                "qkv",
                r"\1.qkv_conv.conv.weight",
                "and their convolutions, which torch stores [out, in, width], MLX [out, width, in]",
                steps=transposed,
            ),
            Reshape(
                pattern=r"(.*\.self_attn\.(?:A_log|dt_bias))",
                pieces=(Piece(name=r"\1", flat=True),),
                reason="a number for each head or channel, whose other axes mlx-lm's class leaves out",
            ),
        ),
    ),
)
