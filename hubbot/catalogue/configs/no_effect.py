"""Config keys whose effect depends on more than their own value: when they have none on the function computed.

Each question is about one key under one config; which keys a runtime reads is worked out in dialects.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hubbot.catalogue.configs import ropes


def _is_unscaled(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    return isinstance(value, Mapping) and ropes.kind_of(value) == "default"


def _is_superseded(_value: Any, _config: Mapping[str, Any], consumed: set[str]) -> bool:
    return "rope_parameters.rope_theta" in consumed


def is_wide(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    """Say whether a sliding window of `value` tokens can never act under `config`."""
    # A window at least as long as the context never cuts anything off.
    limit = config.get("max_position_embeddings")
    off = config.get("use_sliding_window") is False
    return off or (isinstance(value, int) and isinstance(limit, int) and value >= limit)


def _is_attention_of_one_kind(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    if not isinstance(value, list):
        return False
    # Llama 4: the layers with rope see in chunks, and mlx-lm's class takes every fourth for one without.
    chunked = ["full_attention" if (layer + 1) % 4 == 0 else "chunked_attention" for layer in range(len(value))]
    if "attention_chunk_size" in config:
        return bool(value == chunked)
    return all(kind == "full_attention" for kind in value)


def _is_every_fourth(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    return isinstance(value, list) and value == [int((layer + 1) % 4 != 0) for layer in range(len(value))]


def _is_every_step(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    step, layers = config.get("interleave_moe_layer_step"), config.get("num_hidden_layers")
    if not isinstance(step, int) or not isinstance(layers, int) or step < 1:
        return False
    return isinstance(value, list) and value == list(range(step - 1, layers, step))


def _is_sparse_everywhere(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    return isinstance(value, list) and all(kind == "sparse" for kind in value)


def _is_derived_head_dim(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    # Of a latent attention the class reads the parts that a head is made of.
    nope, rope = config.get("qk_nope_head_dim"), config.get("qk_rope_head_dim")
    if isinstance(nope, int) and isinstance(rope, int):
        return value in {rope, nope + rope}
    heads = config.get("num_attention_heads")
    hidden = config.get("hidden_size", config.get("d_model"))
    return isinstance(value, int) and isinstance(heads, int) and value * heads == hidden


def _is_latent(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    # Latent attention keeps one key and value for all heads; a count of them says nothing but that of the heads.
    return "kv_lora_rank" in config and value == config.get("num_attention_heads")


def _is_full_everywhere(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    return isinstance(value, list) and all(kind == "full" for kind in value)


def _is_softmax_everywhere(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    # MiniMax: 1 stands for softmax attention, 0 for the linear attention of earlier models.
    return isinstance(value, list) and all(kind == 1 for kind in value)


# Keys whose effect depends on more than their own value, and the question that says they have none.
IDLE_WHEN: Mapping[str, Callable[[Any, Mapping[str, Any], set[str]], bool]] = {
    "rope_scaling": _is_unscaled,
    "rope_theta": _is_superseded,
    "sliding_window": is_wide,
    "layer_types": _is_attention_of_one_kind,
    "no_rope_layers": _is_every_fourth,
    "moe_layers": _is_every_step,
    "attn_type_list": _is_softmax_everywhere,
    "mlp_layer_types": _is_sparse_everywhere,
    "num_key_value_heads": _is_latent,
    "indexer_types": _is_full_everywhere,
    "head_dim": _is_derived_head_dim,
    "qk_head_dim": _is_derived_head_dim,
}
