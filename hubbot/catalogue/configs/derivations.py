"""Fields worked out of config keys that spell them in another form: layer lists, patterns, widths.

Each derivation says which keys it used; where they do not hold what it expects it gives None, never a guess.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.nesting import found_under
from hubbot.catalogue.configs.spellings import SYNONYMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A field's value worked out from config keys that spell it in another form."""

    value: Any
    keys: tuple[str, ...]


# No model has as many; a config that claims more must not cost memory.
MOST_LAYERS = 10_000
Derivation = Callable[[Mapping[str, Any]], Derived | None]


def copied(*keys: str, times: int = 1) -> Derivation:
    """Return the derivation that takes the first of `keys` that is there, so many times where it is a number."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        found = found_under(config, keys)
        if not found:
            return None
        value = next(iter(found.values()))
        return Derived(value=value * times if times != 1 else value, keys=tuple(found))

    return derive


def listed(key: str, names: Mapping[str, Any]) -> Derivation:
    """Return the derivation that translates a list of names word by word; None where a word is unknown."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        kinds = config.get(key)
        if not isinstance(kinds, list) or not all(isinstance(kind, str) and kind in names for kind in kinds):
            return None
        return Derived(value=[names[kind] for kind in kinds], keys=(key,))

    return derive


def every_layer(kind: Any) -> Derivation:
    """Return the derivation of a list that says `kind` for every layer."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        layers = config.get("num_hidden_layers")
        return (
            Derived(value=[kind] * layers, keys=()) if isinstance(layers, int) and layers < MOST_LAYERS else None
        )

    return derive


def periodic(key: str | None, *, nth: Any, others: Any, default: int | None = None) -> Derivation:
    """Return the derivation of a list that says `nth` for every so many layers as `key` says, `others` between.

    `default` is how many where the config does not say, or where there is no such key.
    """

    def derive(config: Mapping[str, Any]) -> Derived | None:
        every, layers = config.get(key or "", default), config.get("num_hidden_layers")
        if not isinstance(every, int) or every < 1 or not isinstance(layers, int) or layers >= MOST_LAYERS:
            return None
        kinds = [others if (layer + 1) % every else nth for layer in range(layers)]
        return Derived(value=kinds, keys=(key,) if key and key in config else ())

    return derive


def after_the_first(key: str) -> Derivation:
    """Return the derivation of a list that says false for as many layers as `key` says, and true after them."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        dense, layers = config.get(key), config.get("num_hidden_layers")
        if not isinstance(dense, int) or not isinstance(layers, int) or layers >= MOST_LAYERS:
            return None
        return Derived(value=[layer >= dense for layer in range(layers)], keys=(key,))

    return derive


def repeated(key: str) -> Derivation:
    """Return the derivation of a list that holds the value of `key` for every layer."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        made = every_layer(config.get(key))(config)
        return made and Derived(value=made.value, keys=(key,)) if config.get(key) is not None else None

    return derive


def first(*derivations: Derivation) -> Derivation:
    """Return the derivation that asks `derivations` in turn."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        return next((found for one in derivations if (found := one(config)) is not None), None)

    return derive


def theta(layer_type: str, old: str) -> Derivation:
    """Return the derivation of the plain rope_theta of one layer type, kept under key `old` in old configs."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        value = ropes.theta_of(config, layer_type, old)
        return None if value is None else Derived(value=value, keys=("rope_parameters", old))

    return derive


def dense_layers(config: Mapping[str, Any]) -> Derived | None:
    """How many layers are dense before the first sparse one, where no dense one follows."""
    kinds = config.get("mlp_layer_types")
    if not isinstance(kinds, list):
        return None
    dense = next((index for index, kind in enumerate(kinds) if kind != "dense"), len(kinds))
    if kinds[dense:] != ["sparse"] * (len(kinds) - dense):
        return None
    return Derived(value=dense, keys=("mlp_layer_types",))


def full_attention_interval(config: Mapping[str, Any]) -> Derived | None:
    """Every how many layers attention is full, where it is so regularly."""
    kinds = config.get("layer_types")
    if not isinstance(kinds, list) or "full_attention" not in kinds:
        return None
    interval = kinds.index("full_attention") + 1
    regular = ["linear_attention" if (n + 1) % interval else "full_attention" for n in range(len(kinds))]
    return Derived(value=interval, keys=("layer_types",)) if kinds == regular else None


def rotary_dim(config: Mapping[str, Any]) -> Derived | None:
    """How many dimensions of a head are rotated."""
    found = found_under(config, SYNONYMS["partial_rotary_factor"])
    width, factor = config.get("head_dim") or plain_head_dim(config), next(iter(found.values()), None)
    if not isinstance(width, int) or not isinstance(factor, int | float):
        return None
    return Derived(value=int(width * factor), keys=tuple(found))


def plain_head_dim(config: Mapping[str, Any]) -> int:
    """hidden_size / num_attention_heads, or 0 where the config does not say."""
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return hidden // heads if isinstance(hidden, int) and isinstance(heads, int) and heads > 0 else 0


# Fields that some configs spell in another form, whatever the family.
DERIVED: Mapping[str, Derivation] = {
    "rotary_dim": rotary_dim,
    "is_moe_layer": first(
        listed("mlp_layer_types", {"dense": False, "sparse": True}),
        copied("is_moe_layer"),
        after_the_first("first_k_dense_replace"),
    ),
    "first_k_dense_replace": dense_layers,
    "full_attention_interval": full_attention_interval,
}
