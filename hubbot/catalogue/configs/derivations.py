"""Fields worked out of config keys that spell them in another form: layer lists, patterns, widths.

Each derivation says which keys it used; where they do not hold what it expects it gives None, never a guess.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.keys_without_effect import group_of
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


def full_attention_layers(config: Mapping[str, Any]) -> Derived | None:
    """The numbers of the layers with attention; the others are convolutions."""
    kinds, numbers = config.get("layer_types"), config.get("full_attn_idxs")
    # mlx-lm's class looks for the first layer of each kind, so both must be there.
    if isinstance(kinds, list) and set(kinds) == {"full_attention", "conv"}:
        found = [index for index, kind in enumerate(kinds) if kind == "full_attention"]
        return Derived(value=found, keys=("layer_types", "full_attn_idxs"))
    return Derived(value=numbers, keys=("full_attn_idxs",)) if isinstance(numbers, list) else None


def common_partial_rotary_factor(config: Mapping[str, Any]) -> Derived | None:
    """The share of a head that is rotated, where all layer types agree on it."""
    layers = ropes.by_layer_type(config)
    if layers is None:
        return copied("partial_rotary_factor")(config)
    shares = {parameters.get("partial_rotary_factor", 1.0) for parameters in layers.values()}
    return Derived(value=shares.pop(), keys=("rope_parameters",)) if len(shares) == 1 else None


def of_full_layers(key: str) -> Derivation:
    """Return the derivation of a value that transformers 5 keeps in per_layer_config for full attention."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        layers, kinds = config.get("per_layer_config"), config.get("layer_types")
        if not isinstance(layers, Mapping) or not isinstance(kinds, list):
            return None
        full = {str(index) for index, kind in enumerate(kinds) if kind == "full_attention"}
        known = {"head_dim", "num_key_value_heads"}
        if set(layers) != full or not all(
            isinstance(one, Mapping) and set(one) <= known for one in layers.values()
        ):
            return None
        values = {one.get(key) for one in layers.values()}
        return Derived(value=values.pop(), keys=("per_layer_config",)) if len(values) == 1 else None

    return derive


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


def window_size(config: Mapping[str, Any]) -> Derived | None:
    """How many tokens a query sees, itself included: one more than MiMo's own key sliding_window_size says."""
    size, window = config.get("sliding_window_size"), config.get("sliding_window")
    if isinstance(size, int):
        return Derived(value=size + 1, keys=("sliding_window_size", "sliding_window"))
    return Derived(value=window, keys=("sliding_window",)) if isinstance(window, int) else None


_BLOCKS: Mapping[str, str] = {
    "full_attention": "*", "attention": "*", "linear_attention": "M", "mamba": "M", "moe": "E", "mlp": "-",
}  # fmt: skip


def block_pattern(config: Mapping[str, Any]) -> Derived | None:
    """Nemotron-H's layers as one character each: M, E, * or -."""
    for key in ("layers_block_type", "layer_types"):
        kinds = config.get(key)
        if isinstance(kinds, list) and all(kind in _BLOCKS for kind in kinds):
            return Derived(value="".join(_BLOCKS[kind] for kind in kinds), keys=(key, "num_hidden_layers"))
    pattern = config.get("hybrid_override_pattern")
    text = "".join(pattern) if isinstance(pattern, list) else pattern
    if isinstance(text, str) and set(text) <= set(_BLOCKS.values()):
        return Derived(value=text, keys=("hybrid_override_pattern", "num_hidden_layers"))
    return None


def block_count(config: Mapping[str, Any]) -> Derived | None:
    """How many layers Nemotron-H's pattern has."""
    pattern = block_pattern(config)
    return pattern and Derived(value=len(pattern.value), keys=pattern.keys)


def clamped_time_steps(config: Mapping[str, Any]) -> Derived | None:
    """The bounds of Nemotron-H's time steps: transformers clamps at time_step_min, mlx-lm at time_step_limit."""
    least = config.get("time_step_min", 0.001)
    keys = ("time_step_min", "time_step_limit", "time_step_max", "time_step_floor")
    return Derived(value=[least, {"__float__": "Infinity"}], keys=keys)


def mamba_head_width(config: Mapping[str, Any]) -> Derived | None:
    """Granite's mamba_d_head, which may be "auto"."""
    width, keys = config.get("mamba_d_head"), ("mamba_d_head", "mamba_expand")
    if isinstance(width, int):
        return Derived(value=width, keys=keys)
    hidden, expand, heads = (config.get(key) for key in ("hidden_size", "mamba_expand", "mamba_n_heads"))
    if width != "auto" or not isinstance(hidden, int) or not isinstance(expand, int) or not heads:
        return None
    return Derived(value=expand * hidden // heads, keys=keys)


def linear_attention(config: Mapping[str, Any]) -> Derived | None:
    """Kimi-Linear's linear_attn_config, with layers counted from 1; transformers 5 spells it out flat."""
    nested, kinds = config.get("linear_attn_config"), config.get("layer_types")
    if isinstance(nested, Mapping):
        return Derived(value=dict(nested), keys=("linear_attn_config",))
    names = ("linear_head_dim", "linear_num_heads", "linear_conv_kernel_dim")
    # mlx-lm's class looks for the first layer of each kind, so both must be there.
    if not isinstance(kinds, list) or set(kinds) != {"full_attention", "linear_attention"}:
        return None
    if not all(isinstance(config.get(name), int) for name in names):
        return None
    value = {
        "full_attn_layers": [n for n, kind in enumerate(kinds, 1) if kind == "full_attention"],
        "kda_layers": [n for n, kind in enumerate(kinds, 1) if kind == "linear_attention"],
        "head_dim": config["linear_head_dim"],
        "num_heads": config["linear_num_heads"],
        "short_conv_kernel_size": config["linear_conv_kernel_dim"],
    }
    return Derived(value=value, keys=("layer_types", *names))


# What DBRX's nested configs may hold beside what its class reads, with the values under which it has no effect.
_FLAT_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "ffn_act_fn": (None, {"name": "silu"}),
    "moe_normalize_expert_weights": (1, 1.0),
    "uniform_expert_assignment": (None, False),
}
_FLAT_REPEATED = frozenset({"hidden_size", "rope_theta"})


def flat_attention(config: Mapping[str, Any]) -> Derived | None:
    """DBRX's attn_config; its rope_theta stands in rope_parameters too, or there alone."""
    names = ("kv_n_heads", "clip_qkv", "rope_theta")
    nested, keys = _flat(config, "attn_config", names[:2]), ("attn_config", "rope_parameters.rope_theta")
    thetas = set(found_under(config, ("attn_config.rope_theta", "rope_parameters.rope_theta")).values())
    parameters = config.get("rope_parameters")
    scaled = isinstance(parameters, Mapping) and ropes.kind_of(parameters) != "default"
    if nested is None or len(thetas) != 1 or scaled:
        return None
    return Derived(value={**nested, "rope_theta": thetas.pop()}, keys=keys)


def flat_experts(config: Mapping[str, Any]) -> Derived | None:
    """DBRX's ffn_config: what its class reads of it, where nothing else in it has an effect."""
    value = _flat(config, "ffn_config", ("ffn_hidden_size", "moe_num_experts", "moe_top_k"))
    return Derived(value=value, keys=("ffn_config",)) if value else None


def _flat(config: Mapping[str, Any], key: str, names: tuple[str, ...]) -> dict[str, Any] | None:
    nested = config.get(key)
    if not isinstance(nested, Mapping) or not all(_is_number(nested.get(name)) for name in names):
        return None
    idle = all(_is_idle(name, value) for name, value in nested.items() if name not in names)
    return {name: nested[name] for name in names} if idle else None


def _is_idle(name: str, value: Any) -> bool:
    if name in _FLAT_NEUTRAL:
        return value in _FLAT_NEUTRAL[name]
    return value is None or name in _FLAT_REPEATED or group_of(name) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def renormalised_top_k(config: Mapping[str, Any]) -> Derived | None:
    """Whether the weights of the chosen experts are renormalised: with one expert it keeps its probability."""
    # Tencent's own code (arXiv:2411.02265).
    found = found_under(config, ("moe_topk",))
    if config.get("model_type") != "hunyuan" or not found:
        return None
    return Derived(value=found["moe_topk"] != 1, keys=("moe_topk",))


# Fields that some configs spell in another form, whatever the family.
DERIVED: Mapping[str, Derivation] = {
    "renormalise_top_k": renormalised_top_k,
    "rotary_dim": rotary_dim,
    "is_moe_layer": first(
        listed("mlp_layer_types", {"dense": False, "sparse": True}),
        copied("is_moe_layer"),
        after_the_first("first_k_dense_replace"),
    ),
    "first_k_dense_replace": dense_layers,
    "full_attention_interval": full_attention_interval,
}
