"""Siblings of the real configs and strangers among them, of our own making: dialects that the corpus lacks.

    python -m tests.configs.siblings

writes them beside the real ones, with references where they are to be converted. Each is a real config with
keys changed, added or left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.configs.add import commit
from tests.configs.twins import Expected, twins


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """A config that is the one of twin `of` but for `changes` and what is `omitted`; keys of its text decoder."""

    name: str
    of: str
    expected: Expected = "convert"
    changes: Mapping[str, Any] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()


QWEN = "qwen__qwen3-30b-a3b"
SIBLINGS: tuple[Sibling, ...] = (
    # Converted: the keys say what the class does anyway, or the same in other words.
    Sibling(
        name="qwen3-coder-in-sglangs-words",
        of=QWEN,
        changes={
            "use_qk_norm": True,
            "shared_expert_intermediate_size": 0,
            "qk_layernorm": True,
            "moe_router_dtype": "fp32",
            "scoring_func": "softmax",
            "n_group": 1,
            "topk_group": 1,
            "routed_scaling_factor": 1.0,
            "router_dtype": "float32",
            "moe_layer_freq": 1,
            "use_sliding_window": False,
            "sliding_window": 4096,
        },
    ),
    Sibling(
        name="qwen3-with-a-trainers-leftovers",
        of=QWEN,
        changes={
            "unsloth_version": "2026.1",
            "_name_or_path": "/data/run7",
            "use_flash_attn": True,
            "expert_dropout": 0.1,
            "moe_aux_loss_coeff": 0.01,
            "temperature": 0.6,
            "top_p": 0.95,
            "top_k": 20,
            "max_length": 20,
            "reasoning_effort": "high",
            "lora_rank": 64,
        },
    ),
    Sibling(
        name="trinity-without-layer-types",
        of="arcee-ai__trinity-nano-preview",
        changes={"global_attn_every_n_layers": 2, "use_grouped_mm": False},
        omitted=("layer_types",),
    ),
    Sibling(
        name="deepseek-v2-5-grouped",
        of="deepseek-ai__deepseek-v2-chat",
        changes={"n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy", "n_routed_experts": 8},
    ),
    Sibling(
        name="kimi-k2-thinking-with-sampling",
        of="moonshotai__kimi-k2-instruct",
        changes={
            "temperature": 1.0,
            "top_k": 50,
            "num_beams": 1,
            "no_repeat_ngram_size": 0,
            "do_sample": True,
            "rope_interleave": True,
            "num_nextn_predict_layers": 1,
            "head_dim": 64,
        },
    ),
    Sibling(
        name="glm-4-6-with-its-head",
        of="zai-org__glm-4.5-air",
        changes={"use_qk_norm": True, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "index_topk_freq": 1},
    ),
    Sibling(
        name="glm-4-7-flash-whole-heads",
        of="zai-org__glm-4.7-flash",
        changes={"partial_rotary_factor": 1.0, "scoring_func": "sigmoid", "moe_layer_freq": 1, "use_mla": True},
    ),
    Sibling(
        name="mixtral-window-of-its-context",
        of="mistralai__mixtral-8x7b-v0.1",
        changes={"sliding_window": 32768, "max_position_embeddings": 32768, "norm_topk_prob": True},
    ),
    Sibling(
        name="gpt-oss-120b-doubled-words",
        of="openai__gpt-oss-20b",
        changes={"experts_per_token": 3, "num_experts_per_tok": 3, "swiglu_alpha": 1.702},
        omitted=("layer_types",),
    ),
    Sibling(
        name="minimax-m2-1-leftovers",
        of="minimaxai__minimax-m2",
        changes={
            "layernorm_mlp_beta": 1,
            "use_routing_bias": True,
            "scoring_func": "sigmoid",
            "qk_norm_type": "per_layer",
            "shared_intermediate_size": 0,
            "norm_topk_prob": True,
            "attention_output_gate": False,
        },
    ),
    Sibling(
        name="lfm2-doubled-base",
        of="liquidai__lfm2-8b-a1b",
        changes={"theta": 5000000.0, "rope_theta": 5000000.0, "use_pos_enc": True},
    ),
    Sibling(
        name="dots-in-vllms-words",
        of="rednote-hilab__dots.llm1.inst",
        changes={"score_function": "sigmoid", "moe_router_enable_expert_bias": True, "use_qk_norm": True},
    ),
    Sibling(
        name="jamba-large-kernels",
        of="ai21labs__ai21-jamba-mini-1.7",
        changes={
            "use_mamba_kernels": False,
            "mamba_inner_layernorms": True,
            "norm_topk_prob": False,
            "n_group": 1,
        },
    ),
    Sibling(
        name="nemotron-heads-and-precision",
        of="nvidia__nvidia-nemotron-3-nano-30b-a3b-bf16",
        changes={
            "mtp_hybrid_override_pattern": "*E",
            "num_nextn_predict_layers": 1,
            "mamba_ssm_cache_dtype": "float32",
            "rope_theta": 123456,
            "partial_rotary_factor": 0.5,
            "use_rope": False,
        },
    ),
    Sibling(
        name="mimo-window-thrice",
        of="xiaomimimo__mimo-v2-flash",
        changes={"attention_chunk_size": 16, "use_routing_bias": True, "moe_router_dtype": "fp32"},
    ),
    Sibling(
        name="ling-says-what-it-does",
        of="inclusionai__ling-3.0-flash",
        changes={"norm_topk_prob": True, "use_bias": False, "use_qkv_bias": False, "moe_router_dtype": "fp32"},
    ),
    Sibling(
        name="exaone-by-numbers",
        of="lgai-exaone__k-exaone-236b-a23b-main",
        changes={"sliding_window_pattern": 4, "first_k_dense_replace": 1, "scoring_func": "sigmoid"},
        omitted=("layer_types", "mlp_layer_types", "is_moe_layer"),
    ),
    # Refused: the same keys, with values that act.
    Sibling(name="qwen3-without-norms", of=QWEN, expected="refuse", changes={"use_qk_norm": False}),
    Sibling(name="qwen3-with-sigmoid", of=QWEN, expected="refuse", changes={"score_function": "sigmoid"}),
    Sibling(
        name="qwen3-window-by-default",
        of=QWEN,
        expected="refuse",
        changes={"use_sliding_window": True},
        omitted=("sliding_window",),
    ),
    Sibling(
        name="trinity-of-four-groups",
        of="arcee-ai__trinity-nano-preview",
        expected="refuse",
        changes={"num_expert_groups": 4},
    ),
    Sibling(
        name="dots-every-other-layer",
        of="rednote-hilab__dots.llm1.inst",
        expected="refuse",
        changes={"moe_layer_freq": 2},
    ),
    Sibling(name="lfm2-of-two-bases", of="liquidai__lfm2-8b-a1b", expected="refuse", changes={"theta": 20000.0}),
    Sibling(
        name="mimo-of-two-windows",
        of="xiaomimimo__mimo-v2-flash",
        expected="refuse",
        changes={"attention_chunk_size": 8},
    ),
    Sibling(
        name="minimax-m2-unbiased",
        of="minimaxai__minimax-m2",
        expected="refuse",
        changes={"use_routing_bias": False},
    ),
    Sibling(
        name="minimax-m2-scaled-residuals",
        of="minimaxai__minimax-m2",
        expected="refuse",
        changes={"layernorm_full_attention_beta": 3.5565588200778455},
    ),
    Sibling(
        name="kimi-linear-with-rope",
        of="moonshotai__kimi-linear-48b-a3b-instruct",
        expected="refuse",
        changes={"mla_use_nope": False},
    ),
    Sibling(
        name="kimi-linear-saved-by-transformers-5",
        of="moonshotai__kimi-linear-48b-a3b-instruct",
        changes={
            "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
            "linear_head_dim": 32,
            "linear_num_heads": 4,
            "linear_conv_kernel_dim": 4,
        },
    ),
    Sibling(
        name="kimi-linear-of-two-head-sizes",
        of="moonshotai__kimi-linear-48b-a3b-instruct",
        expected="refuse",
        changes={
            "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
            "linear_head_dim": 16,
            "linear_num_heads": 4,
            "linear_conv_kernel_dim": 4,
        },
    ),
    Sibling(
        name="trinity-that-does-not-renormalise",
        of="arcee-ai__trinity-nano-preview",
        expected="refuse",
        changes={"route_norm": False},
    ),
    Sibling(
        name="qwen3-vl-that-does-not-renormalise",
        of="qwen__qwen3-vl-30b-a3b-instruct",
        expected="refuse",
        changes={"norm_topk_prob": False},
    ),
    Sibling(
        name="laguna-of-two-gates",
        of="poolside__laguna-xs.2",
        expected="refuse",
        changes={"gating_types": ["per_head", "per_element", "per_head", "per_head", "per_head"]},
    ),
    Sibling(
        name="m3-with-a-mean-score",
        of="nvidia__minimax-m3-nvfp4",
        expected="refuse",
        changes={"sparse_attention_config": {"sparse_score_type": "mean"}},
    ),
    Sibling(
        name="glm-5-sharing-indexers",
        of="zai-org__glm-5",
        changes={"index_topk_freq": 4, "index_skip_topk_offset": 1},
    ),
    Sibling(name="glm-5-too-short-to-share", of="zai-org__glm-5", changes={"index_topk_freq": 4}),
)


def main() -> None:
    """Write all of them."""
    real = {twin.name: dict(twin.config) for twin in twins()}
    for sibling in SIBLINGS:
        config = dict(real[sibling.of])
        wrapped = isinstance(config.get("text_config"), dict)
        inner = dict(config["text_config"]) if wrapped else config
        for key, value in sibling.changes.items():
            inner[key] = {**inner[key], **value} if isinstance(value, dict) and key in inner else value
        for key in sibling.omitted:
            inner.pop(key, None)
        made = {**config, "text_config": inner} if wrapped else inner
        commit(
            f"own__{sibling.name}",
            made,
            {
                "repo": f"of our own, after {sibling.of}",
                "source": "tests/configs/siblings.py",
                "certainty": "made",
            },
        )


if __name__ == "__main__":
    main()
