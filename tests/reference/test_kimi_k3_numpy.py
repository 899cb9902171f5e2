"""mlx-lm's kimi_k3 computes what the stand-in computes, whole and with the cache, from the Hub's names."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import kimi_k3

from tests.reference import kimi_k3_numpy
from tests.reference.checkpoints import Floats
from tests.reference.make_kimi_k3 import PREFIX, shapes

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


def tensors_of(config: Mapping[str, Any]) -> dict[str, Floats]:
    """Norms around 1, biases of both signs, and the rest so that nothing saturates."""
    draw = np.random.default_rng(20250)
    made = {}
    for full, shape in shapes(config):
        name = full.removeprefix(PREFIX)
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
