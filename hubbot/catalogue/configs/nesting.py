"""Configs inside configs: the text decoder's values, wherever a model that also sees or hears keeps them.

It reads and wraps mappings; what a key means it does not know.
"""

from collections.abc import Mapping
from typing import Any

TEXT = "text_config"
THINKER = "thinker_config"
_VOICE = ("talker_config", "code2wav_config")
# Where else a config may keep the text decoder's counts: Qwen3-Omni in its thinker, others by names of their own.
NESTED = (
    TEXT, "ffn_config", "thinker_config.text_config", "thinker_config", "language_config", "llm_config",
)  # fmt: skip
# Keys that may hold a list with one value per layer; the same value for all layers is that value.
PER_LAYER = frozenset({"num_experts", "moe_topk", "num_shared_expert", "moe_intermediate_size"})
# transformers ties a model's embeddings by the outer config alone (modeling_utils, tie_weights).
_OUTER_WINS = ("tie_word_embeddings", "model_type", "architectures")


def decoder(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the text decoder's config as one flat mapping: the outer keys, over them those of text_config."""
    config = without_voice(config)
    inner = config.get(TEXT)
    if not isinstance(inner, Mapping):
        return config
    outer = {key: value for key, value in config.items() if key != TEXT}
    over = {key: value for key, value in inner.items() if key not in _OUTER_WINS}
    # A null inside says nothing: the ids of special tokens often stand outside only.
    return {**outer, **{key: value for key, value in over.items() if value is not None or key not in outer}}


def without_voice(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config with the parts of its thinker in place of it: Qwen3-Omni also has a talker, which speaks."""
    thinker = config.get(THINKER)
    if not isinstance(thinker, Mapping):
        return config
    outer = {key: value for key, value in config.items() if key not in (THINKER, *_VOICE)}
    return {
        **outer,
        **{key: value for key, value in thinker.items() if key not in ("model_type", "architectures")},
    }


def look_up(config: Mapping[str, Any], path: str) -> Any:
    """Return the value under a dotted path, or None where there is none."""
    part: Any = config
    for name in path.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part


def found_under(config: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """Return the paths of `paths` that hold a value, with it, in their order."""
    values = {path: uniform(path, look_up(config, path)) for path in paths}
    return {path: value for path, value in values.items() if value is not None}


def uniform(key: str, value: Any) -> Any:
    """Return the value that a list repeats for every layer where `key` may hold such a list, else the value."""
    same = key in PER_LAYER and isinstance(value, list) and len({repr(item) for item in value}) == 1
    return value[0] if same else value
