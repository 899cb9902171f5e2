"""Sarvam AI: Sarvam-30B on the class of GLM-4.5 and Sarvam-105B on that of DeepSeek-V3.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Callable

from hubbot.catalogue.configs.derivations import copied, first
from hubbot.catalogue.families.defaults import COMMON, GROUPED, LATENT
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS, Config, Piece, Reshape, whole
from hubbot.moves import Step, take


def _rows(number: int, axis: int) -> Callable[[Config], tuple[Step, ...]]:
    """Return the step that takes the queries (0), keys (1) or values (2) out of rows q, k, v."""

    def steps(config: Config) -> tuple[Step, ...]:
        heads, shared = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
        ends = (0, heads, heads + shared, heads + 2 * shared)
        width = int(config["head_dim"])
        return (take(ends[number] * width, ends[number + 1] * width, axis=axis),)

    return steps


_QKV = tuple(
    Reshape(
        pattern=rf"(.*\.self_attn)\.query_key_value\.{leaf}",
        pieces=tuple(
            Piece(name=rf"\1.{part}_proj.{leaf}", groups=whole, steps=_rows(number, axis), merge=True)
            for number, part in enumerate("qkv")
        ),
        reason="transformers 5.24 conversion_mapping: query_key_value -> q_proj, k_proj, v_proj, Split(dim=0)",
    )
    for leaf, axis in (("weight", -2), ("bias", -1))
)

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="sarvam_moe",
        runtime="glm4_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased"},
        default_source="transformers 5.24",
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": True,
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.5,
            "partial_rotary_factor": 1.0,
            "first_k_dense_replace": 1,
            "n_shared_experts": 1,
            "num_experts_per_tok": 6,
            "num_key_value_heads": 4,
            "head_dim": 64,
            "rms_norm_eps": 1e-6,
            "rope_theta": 8000000.0,
        },
        derived={"attention_bias": first(copied("use_qkv_bias"), copied("attention_bias"))},
        renames=(
            (r"^model\.word_embeddings\.", "model.embed_tokens."),
            (r"\.attention\.", ".self_attn."),
            (r"\.self_attn\.dense\.", ".self_attn.o_proj."),
            (r"\.self_attn\.query_layernorm\.", ".self_attn.q_norm."),
            (r"\.self_attn\.key_layernorm\.", ".self_attn.k_norm."),
            (r"\.mlp\.gate\.expert_bias$", ".mlp.gate.e_score_correction_bias"),
        ),
        reshapes=(*_QKV, GROUPED_BIAS),
    ),
    Family(
        model_type="sarvam_mla",
        runtime="deepseek_v3",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        default_source="transformers 5.24",
        defaults={
            **COMMON,
            **LATENT,
            "rms_norm_eps": 1e-6,
            "first_k_dense_replace": 1,
            "kv_lora_rank": 512,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "q_lora_rank": None,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "routed_scaling_factor": 2.5,
            "v_head_dim": 128,
        },
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
    ),
)
