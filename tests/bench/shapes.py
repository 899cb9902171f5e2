"""The shapes that the bench converts: names, shapes and dtypes of every tensor, and the configs with them.

Qwen3-30B-A3B with one bfloat16 tensor per expert and projection, and a model of the same experts stacked, fused
and in fp8, of a family whose fp8 stock mlx-lm can read.
"""

from collections.abc import Iterator
from typing import Any

HIDDEN, WIDTH, EXPERTS, TOP_K = 2048, 768, 128, 8
HEADS, KV_HEADS, HEAD_DIM, VOCABULARY = 32, 4, 128, 151_936
Tensor = tuple[str, tuple[int, ...], str]

LATENT_HEADS, NOPE, ROPE, VALUE, KV_RANK, Q_RANK, SMALL_VOCABULARY = 16, 64, 64, 128, 512, 768, 32_768
COMMON: dict[str, Any] = {
    "hidden_size": HIDDEN, "moe_intermediate_size": WIDTH, "intermediate_size": 6144, "rms_norm_eps": 1e-6,
    "num_experts_per_tok": TOP_K, "norm_topk_prob": True, "max_position_embeddings": 40960, "hidden_act": "silu",
    "torch_dtype": "bfloat16", "attention_bias": False, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


def qwen_config(layers: int) -> dict[str, Any]:
    """Return config.json in the dialect that stock mlx-lm reads."""
    return COMMON | {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
        "num_experts": EXPERTS, "decoder_sparse_step": 1, "mlp_only_layers": [], "rope_theta": 1000000.0,
        "vocab_size": VOCABULARY, "tie_word_embeddings": True,
    }  # fmt: skip


def qwen_tensors(layers: int) -> Iterator[Tensor]:
    """Yield (name, shape, dtype) in the order in which they are written."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN), "BF16"
    yield "model.norm.weight", (HIDDEN,), "BF16"
    for layer in range(layers):
        at = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}.{norm}.weight", (HIDDEN,), "BF16"
        for norm in ("q_norm", "k_norm"):
            yield f"{at}.self_attn.{norm}.weight", (HEAD_DIM,), "BF16"
        yield f"{at}.self_attn.q_proj.weight", (HEADS * HEAD_DIM, HIDDEN), "BF16"
        yield f"{at}.self_attn.k_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN), "BF16"
        yield f"{at}.self_attn.v_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN), "BF16"
        yield f"{at}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD_DIM), "BF16"
        yield f"{at}.mlp.gate.weight", (EXPERTS, HIDDEN), "BF16"
        for expert in range(EXPERTS):
            yield f"{at}.mlp.experts.{expert}.gate_proj.weight", (WIDTH, HIDDEN), "BF16"
            yield f"{at}.mlp.experts.{expert}.up_proj.weight", (WIDTH, HIDDEN), "BF16"
            yield f"{at}.mlp.experts.{expert}.down_proj.weight", (HIDDEN, WIDTH), "BF16"


def fp8_config(layers: int) -> dict[str, Any]:
    """Return config.json of the fused fp8 shape."""
    rope = {
        "rope_type": "yarn", "type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "beta_fast": 32.0,
        "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 10240,
        "llama_4_scaling_beta": 0.1,
    }  # fmt: skip
    return COMMON | {
        "architectures": ["Mistral4ForCausalLM"], "model_type": "mistral4", "num_hidden_layers": layers,
        "num_attention_heads": LATENT_HEADS, "num_key_value_heads": LATENT_HEADS, "head_dim": NOPE + ROPE,
        "qk_head_dim": NOPE + ROPE, "qk_nope_head_dim": NOPE, "qk_rope_head_dim": ROPE, "v_head_dim": VALUE,
        "kv_lora_rank": KV_RANK, "q_lora_rank": Q_RANK, "n_routed_experts": EXPERTS, "n_shared_experts": 1,
        "n_group": 1, "topk_group": 1, "first_k_dense_replace": 0, "routed_scaling_factor": 1.0,
        "rope_interleave": True, "rope_parameters": rope, "vocab_size": SMALL_VOCABULARY,
        "tie_word_embeddings": False, "quantization_config": {"quant_method": "fp8"},
    }  # fmt: skip


def fp8_tensors(layers: int) -> Iterator[Tensor]:
    """Yield (name, shape, dtype); every fp8 stack is followed by its scale per expert."""
    yield "model.embed_tokens.weight", (SMALL_VOCABULARY, HIDDEN), "BF16"
    yield "lm_head.weight", (SMALL_VOCABULARY, HIDDEN), "BF16"
    yield "model.norm.weight", (HIDDEN,), "BF16"
    for layer in range(layers):
        at = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}.{norm}.weight", (HIDDEN,), "BF16"
        yield from _latent_attention(f"{at}.self_attn")
        yield f"{at}.mlp.gate.weight", (EXPERTS, HIDDEN), "BF16"
        for name, shape in (("gate_up_proj", (2 * WIDTH, HIDDEN)), ("down_proj", (HIDDEN, WIDTH))):
            yield f"{at}.mlp.experts.{name}", (EXPERTS, *shape), "F8_E4M3"
            yield f"{at}.mlp.experts.{name}_scale_inv", (EXPERTS, 1, 1), "F32"
        for name, shape in (
            ("gate_proj", (WIDTH, HIDDEN)),
            ("up_proj", (WIDTH, HIDDEN)),
            ("down_proj", (HIDDEN, WIDTH)),
        ):
            yield f"{at}.mlp.shared_experts.{name}.weight", shape, "BF16"


def _latent_attention(at: str) -> Iterator[Tensor]:
    yield f"{at}.q_a_proj.weight", (Q_RANK, HIDDEN), "BF16"
    yield f"{at}.q_a_layernorm.weight", (Q_RANK,), "BF16"
    yield f"{at}.q_b_proj.weight", (LATENT_HEADS * (NOPE + ROPE), Q_RANK), "BF16"
    yield f"{at}.kv_a_proj_with_mqa.weight", (KV_RANK + ROPE, HIDDEN), "BF16"
    yield f"{at}.kv_a_layernorm.weight", (KV_RANK,), "BF16"
    yield f"{at}.kv_b_proj.weight", (LATENT_HEADS * (NOPE + VALUE), KV_RANK), "BF16"
    yield f"{at}.o_proj.weight", (HIDDEN, LATENT_HEADS * VALUE), "BF16"
