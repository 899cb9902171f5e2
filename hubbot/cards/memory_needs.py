"""How much memory a variant needs, and the smallest Mac that has it: estimates from sizes, nothing measured."""

from collections.abc import Mapping
from typing import Any

CONTEXT = 8192
# Beside weights and cache: runtime, activations, tokenizer.
OVERHEAD_BYTES = 600_000_000
CACHE_BYTES_PER_NUMBER = 2
# By default macOS lets the GPU use two thirds of the memory, three quarters of more than 36 GB.
MACS = (8, 16, 24, 32, 36, 48, 64, 96, 128, 192, 256, 512)


def needed_bytes(weights: int, config: Mapping[str, Any]) -> int:
    """Return the bytes that a model of `weights` bytes takes at 8192 tokens of context."""
    return weights + cache_bytes(config) + OVERHEAD_BYTES


def cache_bytes(config: Mapping[str, Any]) -> int:
    """Return the bytes of the key-value cache at 8192 tokens at most: every layer counts as full attention."""
    named = (config.get(key) for key in ("text_config", "llm_config"))
    inner = next((part for part in named if isinstance(part, dict)), config)
    layers, heads = _number(inner, "num_hidden_layers"), _number(inner, "num_attention_heads")
    if "kv_lora_rank" in inner and _number(inner, "kv_lora_rank"):
        width = _number(inner, "kv_lora_rank") + _number(inner, "qk_rope_head_dim")
    else:
        head = _number(inner, "head_dim") or (_number(inner, "hidden_size") // heads if heads else 0)
        width = 2 * head * (_number(inner, "num_key_value_heads") or heads)
    return CONTEXT * CACHE_BYTES_PER_NUMBER * layers * width


def smallest_mac(needed: int) -> str:
    """Return the memory of the smallest Mac that holds so many bytes, as "32 GB"."""
    fitting = (gigabytes for gigabytes in MACS if needed <= usable_bytes(gigabytes))
    found = next(fitting, None)
    return f"over {MACS[-1]} GB" if found is None else f"{found} GB"


def usable_bytes(gigabytes: int) -> float:
    """Return how many bytes a model may take on a Mac with so much memory."""
    return gigabytes * 1e9 * (3 / 4 if gigabytes > 36 else 2 / 3)


def _number(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**7 else 0
