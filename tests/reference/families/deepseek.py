"""Reference models of DeepSeek; rows.py says what a row means."""

from dataclasses import replace
from typing import Any

from tests.reference.rows import (
    COMMON,
    DECIDED,
    DEFAULT_ROPE,
    GROUPS,
    INDEXED,
    LATENT,
    NEGATIVE,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    TEXT,
    TIED,
    Family,
    Model,
)

# The text of DeepSeek-OCR-2 is DeepSeek's first MoE.
FIRST: dict[str, Any] = TEXT | {
    "num_hidden_layers": 3,
    "intermediate_size": 320,
    "moe_intermediate_size": 64,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "num_key_value_heads": 4,
    "topk_method": "greedy",
    "routed_scaling_factor": 1.0,
    "mlp_layer_types": ["dense", "sparse", "sparse"],
}
EYES: dict[str, Any] = {
    "sam_config": {
        "hidden_size": 16,
        "output_channels": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
        "window_size": 2,
        "global_attn_indexes": [0],
        "mlp_dim": 16,
        "downsample_channels": [8, 16],
    },
    "encoder_config": {
        "vocab_size": 8,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    },
}
SEEING: dict[str, Any] = {"text_config": FIRST, "vision_config": EYES, "tie_word_embeddings": False}


def of_16b(config: dict[str, Any]) -> dict[str, Any]:
    """The config.json of DeepSeek-MoE-16B, of the vendor's code for transformers 4."""
    text = dict(config["text_config"])
    rope = dict(text.pop("rope_parameters"))
    scaling = {"type": rope["rope_type"], "factor": rope.get("factor")}
    gone = ("mlp_layer_types", "topk_method", "routed_scaling_factor", "head_dim", "dtype", "mlp_bias")
    return {key: value for key, value in text.items() if key not in gone} | {
        "architectures": ["DeepseekForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_deepseek.DeepseekForCausalLM"},
        "aux_loss_alpha": 0.001,
        "first_k_dense_replace": text["mlp_layer_types"].index("sparse"),
        "moe_layer_freq": 1,
        "norm_topk_prob": False,
        "rope_scaling": scaling if scaling["factor"] else None,
        "rope_theta": rope["rope_theta"],
        "scoring_func": "softmax",
        "seq_aux": True,
        "torch_dtype": "bfloat16",
    }


V4_RATES = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8}
V4_KINDS = {0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}
# Of all kinds; the window, the entries and the choice among them act within 24 tokens.
V4: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 128,
    "moe_intermediate_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "head_dim": 64,
    "partial_rotary_factor": 0.5,
    "q_lora_rank": 64,
    "o_groups": 2,
    "o_lora_rank": 64,
    "sliding_window": 6,
    "layer_types": [V4_KINDS[ratio] for ratio in (0, 128, 4, 128, 4)],
    "compress_rates": V4_RATES,
    "mlp_layer_types": ["hash_moe", "hash_moe", "moe", "moe", "moe"],
    "index_n_heads": 16,
    "index_head_dim": 64,
    "index_topk": 3,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "routed_scaling_factor": 1.75,
    "swiglu_limit": 0.75,
    "hc_sinkhorn_iters": 5,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rope_theta": 51234.0,
    "compress_rope_theta": 70000.0,
    "rope_parameters": {
        "rope_type": "yarn",
        "factor": 16.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 64,
    },
}


def v4_of_deepseek(config: dict[str, Any]) -> dict[str, Any]:
    """The config.json of DeepSeek-V4, as DeepSeek writes it."""
    old = dict(config)
    ratios = {kind: ratio for ratio, kind in V4_KINDS.items()}
    rope = old.pop("rope_parameters")
    main, compressed = dict(rope["main"]), dict(rope["compress"])
    scaling = {key: value for key, value in compressed.items() if key in V4["rope_parameters"]}
    scaling["type"] = scaling.pop("rope_type")
    for key in ("compress_rates", "dtype", "mlp_bias", "output_router_logits", "partial_rotary_factor"):
        old.pop(key, None)
    kinds = old.pop("layer_types")
    return old | {
        "compress_ratios": [*(ratios[kind] for kind in kinds), 0],
        "compress_rope_theta": compressed["rope_theta"],
        "expert_dtype": "fp4",
        "num_hash_layers": old.pop("mlp_layer_types").count("hash_moe"),
        "num_nextn_predict_layers": 1,
        "rope_scaling": scaling,
        "rope_theta": main["rope_theta"],
        "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16",
    }


FAMILIES = (
    Family(
        model_type="deepseek",
        built_as="deepseek_ocr2",
        auto_class="AutoModelForImageTextToText",
        config=SEEING,
        names=((r"^(?!model\.(?:embed_tokens|layers|norm)\.|lm_head\.).*", ""),),
        vendor=of_16b,
        matters={"text_config": FIRST | {"rope_parameters": DEFAULT_ROPE, "num_experts_per_tok": 2}},
        remarks=("DeepSeek-MoE-16B, whose class is that of DeepSeek-OCR-2's text",),
        models=(
            Model(name="base", forms=("orig", "bf16")),
            Model(
                name="grouped_heads",
                forms=("orig",),
                changes={
                    "text_config": FIRST
                    | {
                        "num_key_value_heads": 2,
                        "attention_bias": True,
                        "rope_parameters": {"rope_type": "linear", "rope_theta": 51234.0, "factor": 4.0},
                    }
                },
                remarks=("fewer key heads, biases, linear scaling of rope",),
            ),
        ),
    ),
    Family(
        model_type="deepseek_ocr2",
        auto_class="AutoModelForImageTextToText",
        config=SEEING,
        matters={"text_config": FIRST | {"rope_parameters": DEFAULT_ROPE, "num_experts_per_tok": 2}},
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="grouped",
                forms=("orig",),
                changes={
                    "text_config": FIRST | {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}
                },
                expected="refuse",
                remarks=("mlx-lm's deepseek class chooses among all experts",),
            ),
        ),
    ),
    Family(
        model_type="deepseek_v3",
        config=COMMON
        | SIGMOID_ROUTER
        | {
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "q_lora_rank": 64,
            "kv_lora_rank": 64,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 64,
            "v_head_dim": 64,
        },
        added={"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1},
        rope_kind="type",
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8", "fp8_ue8m0", "int4", "mtp")),
            Model(
                name="yarn",
                forms=("orig", "hub"),
                changes={
                    "q_lora_rank": None,
                    "max_position_embeddings": 2048,
                    "rope_parameters": {
                        "rope_type": "yarn",
                        "rope_theta": 51234.0,
                        "factor": 32.0,
                        "beta_fast": 32.0,
                        "beta_slow": 1.0,
                        "mscale": 1.0,
                        "mscale_all_dim": 0.8,
                        "original_max_position_embeddings": 64,
                    },
                },
                remarks=("yarn with mscale unequal to mscale_all_dim; no low-rank query",),
            ),
            Model(
                name="groups",
                forms=("orig", "hub"),
                changes={"n_group": 4, "topk_group": 2},
                router_bias=NEGATIVE,
                remarks=("group-limited routing; most biased scores are negative",),
            ),
            replace(TIED, forms=("orig",)),
        ),
    ),
    Family(
        model_type="deepseek_v2",
        config=COMMON | SIGMOID_ROUTER | LATENT | {"norm_topk_prob": False, "topk_method": "greedy"},
        added={"scoring_func": "softmax", "moe_layer_freq": 1},
        rope_kind="type",
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            Model(
                name="groups",
                forms=("orig", "hub"),
                changes={"n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy"},
                remarks=("group-limited softmax routing",),
            ),
        ),
    ),
    Family(
        model_type="deepseek_v32",
        config=COMMON | SIGMOID_ROUTER | LATENT | INDEXED,
        added=SIGMOID_CHOICE,
        dropped=("mlp_layer_types", "layer_types"),
        rope_kind="type",
        matters={**DECIDED, "index_topk": 64},
        models=(Model(name="base", forms=("orig", "v5", "hub", "bf16", "fp8_ue8m0", "mtp")), GROUPS),
    ),
    Family(
        model_type="deepseek_v4",
        config=V4,
        # What transformers' own rules for saving leave of DeepSeek's names.
        names=((r"^model\.embed_tokens\.", "embed."), (r"^model\.hc_head\.hc_", "hc_head_"), (r"^model\.", "")),
        matters={
            "index_topk": 64,
            "sliding_window": 24,
            "swiglu_limit": 10.0,
            "routed_scaling_factor": 1.0,
            "rope_theta": 10.0,
            "compress_rope_theta": 10.0,
        },
        models=(
            Model(name="base", forms=("orig", "v5", "saved", "bf16", "fp8_e8m0", "fp4_e8m0")),
            Model(
                name="published",
                forms=("orig",),
                vendor=v4_of_deepseek,
                changes={"compress_rates": None},
                remarks=("DeepSeek's own config; 128 tokens an entry, of which there is none yet",),
            ),
            Model(
                name="unscaled",
                forms=("orig", "v5"),
                changes={
                    "rope_parameters": None,
                    "layer_types": [V4_KINDS[ratio] for ratio in (4, 4, 128, 0, 128)],
                    "mlp_layer_types": ["moe", "hash_moe", "moe", "hash_moe", "moe"],
                    "hc_mult": 2,
                    "num_attention_heads": 8,
                    "o_groups": 4,
                    "tie_word_embeddings": True,
                },
                router_bias=NEGATIVE,
                decodes=True,
                remarks=("no scaling of rope, two streams, tied embeddings, other layers first",),
            ),
        ),
    ),
)
