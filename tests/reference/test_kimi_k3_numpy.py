"""mlx-lm's kimi_k3 computes what the stand-in computes, whole and with the cache, from the Hub's names."""

from collections.abc import Iterator, Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import kimi_k3

from tests.reference import kimi_k3_numpy
from tests.reference.checkpoints import Floats

CONFIG: Mapping[str, Any] = {
    "model_type": "kimi_linear", "vocab_size": 96, "hidden_size": 48, "num_hidden_layers": 5,
    "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 80, "rms_norm_eps": 1e-5,
    "hidden_act": "situ", "activation_situ_beta": 1.5, "activation_situ_linear_beta": 2.5,
    "attn_res_block_size": 2,
    "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "mla_use_nope": True, "mla_use_output_gate": True, "num_experts": 6, "num_experts_per_token": 2,
    "num_shared_experts": 2, "moe_intermediate_size": 32, "routed_expert_hidden_size": 40, "moe_renormalize": True,
    "latent_moe_use_norm": True, "routed_scaling_factor": 1.75, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "num_expert_group": 1, "topk_group": 1, "tie_word_embeddings": False,
    "linear_attn_config": {
        "num_heads": 3, "head_dim": 32, "short_conv_kernel_size": 4, "kda_layers": [1, 2, 4],
        "full_attn_layers": [3, 5],
        "use_full_rank_gate": True, "gate_lower_bound": -5.0,
    },
}  # fmt: skip
OTHERS: Mapping[str, dict[str, Any]] = {
    "base": {},
    "open": {
        "q_lora_rank": None, "mla_use_output_gate": False, "activation_situ_linear_beta": None,
        "latent_moe_use_norm": False, "num_shared_experts": 0, "moe_renormalize": False,
        "linear_attn_config": {
            **CONFIG["linear_attn_config"], "use_full_rank_gate": False, "gate_lower_bound": None,
        },
    },
}  # fmt: skip
TOKENS, STEPS = 20, 4


def shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor's name on the Hub, without `language_model.`, and its shape."""
    hidden = config["hidden_size"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    yield "lm_head.weight", (config["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    yield from residual_shapes("model.output_attn_res", hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
        for name in ("self_attention_res", "mlp_res"):
            yield from residual_shapes(f"{prefix}.{name}", hidden)
        linear = layer + 1 in config["linear_attn_config"]["kda_layers"]
        for name, shape in (delta_shapes if linear else latent_shapes)(config):
            yield f"{prefix}.self_attn.{name}", shape
        if layer < config["first_k_dense_replace"]:
            yield from mlp_shapes(f"{prefix}.mlp", hidden, config["intermediate_size"])
        else:
            yield from expert_shapes(f"{prefix}.block_sparse_moe", config)


def residual_shapes(name: str, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A norm, and a query of one row."""
    yield f"{name}_norm.weight", (hidden,)
    yield f"{name}_proj.weight", (1, hidden)


def delta_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Kimi Delta Attention."""
    part, hidden = config["linear_attn_config"], config["hidden_size"]
    heads, width, kernel = part["num_heads"], part["head_dim"], part["short_conv_kernel_size"]
    for name in "qkv":
        yield f"{name}_proj.weight", (heads * width, hidden)
        yield f"{name}_conv1d.weight", (heads * width, 1, kernel)
    yield "f_a_proj.weight", (width, hidden)
    yield "f_b_proj.weight", (heads * width, width)
    yield "b_proj.weight", (heads, hidden)
    if part["use_full_rank_gate"]:
        yield "g_proj.weight", (heads * width, hidden)
    else:
        yield "g_a_proj.weight", (width, hidden)
        yield "g_b_proj.weight", (heads * width, width)
    yield "A_log", (1, 1, heads, 1)
    yield "dt_bias", (heads * width,)
    yield "o_norm.weight", (width,)
    yield "o_proj.weight", (hidden, heads * width)


def latent_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Latent attention."""
    hidden, heads, rank = config["hidden_size"], config["num_attention_heads"], config["kv_lora_rank"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    low = config["q_lora_rank"]
    if low is None:
        yield "q_proj.weight", (heads * (nope + rope), hidden)
    else:
        yield "q_a_proj.weight", (low, hidden)
        yield "q_a_layernorm.weight", (low,)
        yield "q_b_proj.weight", (heads * (nope + rope), low)
    yield "kv_a_proj_with_mqa.weight", (rank + rope, hidden)
    yield "kv_a_layernorm.weight", (rank,)
    yield "kv_b_proj.weight", (heads * (nope + value), rank)
    yield "o_proj.weight", (hidden, heads * value)
    if config["mla_use_output_gate"]:
        yield "g_proj.weight", (heads * value, hidden)


def mlp_shapes(name: str, hidden: int, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A gated feed-forward."""
    yield f"{name}.gate_proj.weight", (inner, hidden)
    yield f"{name}.up_proj.weight", (inner, hidden)
    yield f"{name}.down_proj.weight", (hidden, inner)


def expert_shapes(name: str, config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Router, experts in the latent space, and shared ones."""
    hidden, latent = config["hidden_size"], config["routed_expert_hidden_size"]
    inner, count = config["moe_intermediate_size"], config["num_experts"]
    yield f"{name}.gate.weight", (count, hidden)
    yield f"{name}.gate.e_score_correction_bias", (count,)
    yield f"{name}.routed_expert_down_proj.weight", (latent, hidden)
    yield f"{name}.routed_expert_up_proj.weight", (hidden, latent)
    if config["latent_moe_use_norm"]:
        yield f"{name}.routed_expert_norm.weight", (latent,)
    for expert in range(count):
        yield f"{name}.experts.{expert}.w1.weight", (inner, latent)
        yield f"{name}.experts.{expert}.w3.weight", (inner, latent)
        yield f"{name}.experts.{expert}.w2.weight", (latent, inner)
    if config["num_shared_experts"]:
        yield from mlp_shapes(f"{name}.shared_experts", hidden, inner * config["num_shared_experts"])


def tensors_of(config: Mapping[str, Any]) -> dict[str, Floats]:
    """Norms around 1, biases of both signs, and the rest so that nothing saturates."""
    draw = np.random.default_rng(20250)
    made = {}
    for name, shape in shapes(config):
        value = draw.standard_normal(shape)
        plain = 1 + 0.1 * value if "norm" in name and len(shape) == 1 else 1.5 * value / np.sqrt(shape[-1])
        made[name] = (value if name.endswith(("embed_tokens.weight", "A_log")) else plain).astype(np.float32)
    return made


def relative(found: Floats, expected: Floats) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def ids_of(config: Mapping[str, Any]) -> list[int]:
    return [int(value) for value in np.random.default_rng(7).integers(0, config["vocab_size"], TOKENS)]


@pytest.mark.parametrize("name", OTHERS)
def test_mlx_lms_class_agrees_with_the_stand_in_whole_and_with_the_cache(name: str) -> None:
    config = {**CONFIG, **OTHERS[name]}
    held, ids = tensors_of(config), ids_of(config)
    expected = kimi_k3_numpy.logits(config, held, ids)
    with mx.stream(mx.cpu):
        model = kimi_k3.Model(kimi_k3.ModelArgs.from_dict({"model_type": "kimi_k3", "text_config": config}))
        named = {f"language_model.{key}": mx.array(value) for key, value in held.items()}
        model.load_weights(list(model.sanitize(named).items()), strict=True)
        model.eval()
        whole = np.array(model(mx.array([ids]))[0])
        cache = model.make_cache()
        parts = [np.array(model(mx.array([ids[:-STEPS]]), cache=cache)[0])]
        parts += [np.array(model(mx.array([[token]]), cache=cache)[0]) for token in ids[-STEPS:]]
    assert relative(whole, expected) < 1e-4
    assert relative(np.concatenate(parts), expected) < 1e-4


@pytest.mark.parametrize(
    ("name", "key", "other"),
    [
        ("base", "attn_res_block_size", 4),
        ("base", "activation_situ_beta", 4.0),
        ("base", "activation_situ_linear_beta", 25.0),
        ("base", "num_experts_per_token", 1),
        ("base", "linear_attn_config", {**CONFIG["linear_attn_config"], "gate_lower_bound": -1.0}),
        ("base", "linear_attn_config", {**CONFIG["linear_attn_config"], "gate_lower_bound": None}),
        # With a norm behind the experts a factor on them has no effect.
        ("open", "routed_scaling_factor", 1.0),
        ("open", "moe_renormalize", True),
    ],
)
def test_each_of_these_values_matters(name: str, key: str, other: object) -> None:
    config = {**CONFIG, **OTHERS[name]}
    held, ids = tensors_of(config), ids_of(config)
    expected = kimi_k3_numpy.logits(config, held, ids)
    assert relative(kimi_k3_numpy.logits({**config, key: other}, held, ids), expected) > 1e-2
