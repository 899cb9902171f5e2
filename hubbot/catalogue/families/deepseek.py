"""DeepSeek: the first MoE, then V2, V3 and V3.2, whose attention compresses keys and values into a latent (MLA).

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.families.deepseek_v4_config import DERIVED, LIMITS
from hubbot.catalogue.families.defaults import COMMON, GREEDY_LATENT, LATENT
from hubbot.catalogue.families.provenances import (
    BY_CLASS,
    MIXTRAL_FUSED,
    MIXTRAL_PER_EXPERT,
    MLX,
    PART,
    PER_EXPERT,
    QWEN_FUSED,
)
from hubbot.catalogue.families.row import Extension, Family, Limit, Recognised, TiktokenSpecials
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS, Piece, Reshape


class _Linear:
    """The rope_scaling values that DeepSeek's first class computes: none, or "linear" by a float."""

    def __contains__(self, value: object) -> bool:
        if value is None:
            return True
        return (
            isinstance(value, Mapping) and value.get("type") == "linear" and isinstance(value.get("factor"), float)
        )


_FIRST_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "moe_layer_freq": 1,
}
_FIRST: dict[str, Any] = {
    "runtime": "deepseek",
    "blocks": ("mlp",),
    "runtime_block": "mlp",
    "renormalises_one_expert": False,
    "always": {"renormalised": False},
    "limits": {
        "rope_scaling": Limit(
            values=_Linear(), reason="mlx-lm's deepseek class computes no scaling of rope but linear by a float"
        ),
    },
}


def _output_groups(config: Mapping[str, Any]) -> int:
    return int(config["o_groups"])


# What DeepSeek-V4's checkpoints on the Hub call what transformers' modules, and hubbot's class, call otherwise.
_V4_NAMES: tuple[tuple[str, str], ...] = (
    (r"^(?:model\.)?embed\.", "model.embed_tokens."),
    (r"^head\.", "lm_head."),
    (r"^(?:model\.)?hc_head_(fn|base|scale)$", r"model.hc_head.hc_\1"),
    (r"^(layers|norm|embed_tokens|hc_head)\.", r"model.\1."),
    (r"\.attn\.indexer\.compressor\.", ".self_attn.compressor.indexer."),
    (r"\.attn\.indexer\.weights_proj\.", ".self_attn.compressor.indexer.scorer.weights_proj."),
    (r"\.attn\.indexer\.", ".self_attn.compressor.indexer."),
    (r"\.attn\.", ".self_attn."),
    (r"\.attn_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.hc_(attn|ffn)_(fn|base|scale)$", r".\1_hc.\2"),
    (r"\.attn_sink$", ".sinks"),
    (r"(\.self_attn\.(?:\w+\.)*)norm\.", r"\1kv_norm."),
    (r"\.q_norm\.", ".q_a_norm."),
    (r"\.ape$", ".position_bias"),
    (r"(\.self_attn\.(?:\w+\.)*)w(q_a|q_b|kv|o_a|o_b)\.", r"\1\2_proj."),
    (r"(\.self_attn\.(?:\w+\.)*)wgate\.", r"\1gate_proj."),
    (r"\.(?:ffn|mlp)\.gate\.bias$", ".mlp.gate.e_score_correction_bias"),
    (r"\.shared_experts\.w1\.", ".shared_experts.gate_proj."),
    (r"\.shared_experts\.w2\.", ".shared_experts.down_proj."),
    (r"\.shared_experts\.w3\.", ".shared_experts.up_proj."),
)

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="deepseek",
        layouts={"per_expert": PER_EXPERT, "mlx_switch": MLX},
        transformers_type="deepseek_ocr2_text",
        default_source="DeepSeek",
        defaults={**_FIRST_DEFAULTS, "first_k_dense_replace": 0, "n_shared_experts": None},
        **_FIRST,
    ),
    # The text of DeepSeek-OCR-2, as transformers has it.
    Family(
        model_type="deepseek_ocr2",
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        text_types=("deepseek_ocr2_text",),
        defaults={**_FIRST_DEFAULTS, "n_shared_experts": 2},
        renames=((r"^model\.language_model\.", "model."),),
        **_FIRST,
    ),
    Family(
        model_type="deepseek_v2",
        runtime="deepseek_v2",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "renormalised": False, "rope": "neighbours"},
        defaults={
            **COMMON,
            **GREEDY_LATENT,
            "topk_method": "greedy",
            "moe_layer_freq": 1,
            "kv_lora_rank": 512,
            "n_shared_experts": 2,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        },
        # The class reads a scaling in every case: by factor 1 it is none.
        rope_kinds=("yarn",),
        unscaled_rope={"type": "yarn", "factor": 1.0, "mscale": 0.0, "mscale_all_dim": 0.0},
    ),
    Family(
        model_type="deepseek_v3",
        runtime="deepseek_v3",
        tiktoken=TiktokenSpecials(count=258, only_by_class=True),  # Moonlight's
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
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
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
    ),
    Family(
        model_type="deepseek_v32",
        runtime="deepseek_v32",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={
            **COMMON,
            **LATENT,
            "n_group": 8,
            "topk_group": 4,
            "rms_norm_eps": 1e-6,
            "indexer_rope_interleave": False,
            "first_k_dense_replace": 3,
            "index_head_dim": 128,
            "index_n_heads": 64,
            "index_topk": 2048,
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
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
    ),
    Family(
        model_type="deepseek_v4",
        runtime="deepseek_v4",
        extension=Extension(
            file="deepseek_v4.py",
            reason="mlx-lm has no class for this model; it is no longer needed once mlx-lm has a deepseek_v4 "
            "with the same names of parameters",
        ),
        blocks=("ffn", "mlp"),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED},
        default_source="transformers 5.24",
        always={
            "dense_layers": "none",
            "key_heads": 1,
            "renormalised": True,
            "rope": "neighbours",
            "scores": "sqrtsoftplus",
            "selection": "biased",
            "shared_experts": 1,
        },
        defaults={
            "tie_word_embeddings": False,
            "swiglu_limit": 10.0,
            "hc_mult": 4,
            "hc_sinkhorn_iters": 20,
            "hc_eps": 1e-6,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "compress_rope_theta": 160000.0,
            "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128},
            "routed_scaling_factor": 1.5,
            "rope_scaling": None,
        },
        derived=DERIVED,
        limits=LIMITS,
        rope_reads=("attention_factor", "partial_rotary_factor", "truncate"),
        rope_kinds=("yarn",),
        renames=_V4_NAMES,
        reshapes=(
            Reshape(
                pattern=r"(.*\.o_a_proj\.weight)",
                pieces=(Piece(name=r"\1", groups=_output_groups),),
                reason="each group of heads has a projection of its own: [groups, rank, width]",
            ),
        ),
        module_names=(("ffn.experts", "mlp.experts"), ("ffn.gate", "mlp.gate")),
    ),
)
_ENGRAM = "mlx-lm's class rejects the engram layers of the published model, and transformers has no class of it"
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="deepseek_v41", layouts={"per_expert": BY_CLASS}, reason=_ENGRAM),
    Recognised(model_type="deepseek_v41_text", layouts={}, reason=_ENGRAM, waits=False),
    Recognised(
        model_type="deepseek_ref",
        layouts={},
        reason="DeepSeek-V4 as sgl-project repacked it: its config leaves out routed_scaling_factor, "
        "swiglu_limit, rope_theta and rms_norm_eps, and no known class of this type gives defaults; "
        "convert DeepSeek's own repo",
        waits=False,
    ),
    Recognised(model_type="deepseek_ocr2_text", layouts={}, reason=PART, waits=False),
)
