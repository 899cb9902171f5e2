"""Real configs made small: sizes cut, every key and every flag kept.

It knows which keys are sizes, from hubbot's own shrunken models, and how the layers of a config differ.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.checks.twins.shrinking import shrink

VOCABULARY = 96
# How a source says that it is packed: the small model is not.
PACKED = ("quantization_config", "compression_config", "quantization")
# Counts of layers at the beginning; one of them is enough.
DENSE = ("first_k_dense_replace", "num_dense_layers", "moe_layer_num_skipped", "moe_layer_start_index")
# Heads beyond the layers: their number stays, as a flag, for a file without their weights says it, too.
HEADS = ("num_nextn_predict_layers",)
EXTRA_LIMITS = {"vocab_size": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY}


def small(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json of the same keys and flags whose model has about a million elements."""
    cut = {key: copy.deepcopy(value) for key, value in config.items() if key not in PACKED}
    inner = cut["text_config"] if isinstance(cut.get("text_config"), dict) else cut
    kept = {key: inner[key] for key in HEADS if key in inner}
    for key in DENSE:
        if isinstance(inner.get(key), int) and "mlp_layer_types" not in inner:
            inner[key] = min(inner[key], 1)
    cut = shrink(cut, names(inner))
    inner = cut["text_config"] if isinstance(cut.get("text_config"), dict) else cut
    inner |= kept
    for key, limit in EXTRA_LIMITS.items():
        if isinstance(inner.get(key), int):
            inner[key] = min(inner[key], limit)
    for part in (cut, inner):
        for key in PACKED:
            part.pop(key, None)
    return cut


def names(inner: Mapping[str, Any]) -> Iterator[str]:
    """A tensor name a layer, by which the dense layers at the beginning are told from the others."""
    layers = next((inner[key] for key in ("num_hidden_layers", "num_layers", "n_layers") if key in inner), 0)
    nested = inner.get("linear_attn_config")
    full = nested.get("full_attn_layers", []) if isinstance(nested, dict) else []
    dense = max((inner[key] for key in DENSE if isinstance(inner.get(key), int)), default=0)
    for layer in range(int(layers or 0)):
        yield f"model.layers.{layer}.{'mlp' if layer < dense else 'experts'}.weight"
        yield f"model.layers.{layer}.{'full' if layer + 1 in full else 'linear'}.weight"
