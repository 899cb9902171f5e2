"""Rotary embeddings: how configs spell them, and what mlx-lm's rope_utils reads of each kind of scaling.

transformers 5 keeps all in rope_parameters, flat or by layer type; transformers 4 in rope_theta and rope_scaling.
A key that mlx-lm does not read is a problem unless its value is what mlx-lm computes anyway.
"""

import math
from collections.abc import Container, Iterator, Mapping
from typing import Any

from hubbot.catalogue.configs.nesting import look_up

# Kind of scaling -> the keys that mlx-lm 0.32.2 reads (models/rope_utils.py, initialize_rope). "dynamic" is
# missing with intent: no committed reference proves it.
READ: Mapping[str, frozenset[str]] = {
    "default": frozenset(),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
    "yarn": frozenset({"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale"}),
    "proportional": frozenset({"partial_rotary_factor", "factor"}),
    "longrope": frozenset(
        {
            "short_factor",
            "long_factor",
            "short_mscale",
            "long_mscale",
            "original_max_position_embeddings",
            "factor",
        }
    ),
}
# What a class computes whose family's row does not say otherwise; longrope is hubbot's own phimoe's alone.
USUAL = frozenset(READ) - {"longrope"}
# What transformers asks for, and mlx-lm would fill in by defaults of its own.
REQUIRED: Mapping[str, frozenset[str]] = {
    "linear": frozenset({"factor"}),
    "llama3": READ["llama3"],
    "yarn": frozenset({"factor", "original_max_position_embeddings"}),
    "longrope": frozenset({"short_mscale", "long_mscale", "original_max_position_embeddings"}),
}
# Keys that say which kind it is, or the context, or how positions of images interleave.
_SAYS_NOTHING = frozenset(
    {"rope_theta", "rope_type", "type", "max_position_embeddings", "mrope_section", "mrope_interleaved"}
)


def kind_of(parameters: Mapping[str, Any]) -> str:
    """Return the kind of scaling that a rope dictionary names."""
    kind = str(parameters.get("rope_type") or parameters.get("type") or "default")
    # Sections of a rotary embedding for images: all positions of a text are one, so it is the plain kind. And
    # DeepSeek's own code names its yarn.
    return {"mrope": "default", "deepseek_yarn": "yarn"}.get(kind, kind)


def by_layer_type(config: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
    """Return rope_parameters where they hold a dictionary per layer type, else None."""
    parameters = config.get("rope_parameters")
    if isinstance(parameters, Mapping) and any(isinstance(value, Mapping) for value in parameters.values()):
        return {key: effective(value, config) for key, value in parameters.items() if isinstance(value, Mapping)}
    return None


def effective(parameters: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a rope dictionary as transformers takes it: the context filled in, what it passes over left out.

    Of yarn's factors of attention it reads only both together, none of them 0.
    """
    value, kind = dict(parameters), kind_of(parameters)
    context = config.get("max_position_embeddings")
    if "original_max_position_embeddings" in READ.get(kind, ()) and context is not None:
        value.setdefault("original_max_position_embeddings", context)
    if kind == "yarn" and not value.get("mscale_all_dim"):
        value.pop("mscale", None)
        value.pop("mscale_all_dim", None)
    return value


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return rope_parameters as transformers 5 would write them, from either dialect; kind under both keys."""
    parameters, scaling = config.get("rope_parameters"), config.get("rope_scaling")
    source = parameters if isinstance(parameters, Mapping) else scaling if isinstance(scaling, Mapping) else {}
    value = dict(effective(source, config))
    if "rope_theta" not in value and config.get("rope_theta") is not None:
        value["rope_theta"] = config["rope_theta"]
    value["rope_type"] = value["type"] = kind_of(value)
    return value


def scaling(config: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return (rope_scaling in transformers' old spelling or None, where it comes from)."""
    parameters, old = config.get("rope_parameters"), config.get("rope_scaling")
    if isinstance(parameters, Mapping) and kind_of(parameters) != "default":
        kept = effective(parameters, config)
        value = {k: v for k, v in kept.items() if k not in {"rope_theta", "partial_rotary_factor"}}
        value["type"] = kind_of(parameters)
        return value, "config: rope_parameters"
    if isinstance(old, Mapping) and kind_of(old) != "default":
        return {**effective(old, config), "rope_type": kind_of(old), "type": kind_of(old)}, "config"
    return None, "no scaling in the config"


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence where a config holds both dialects' scaling and they are not the same."""
    parameters, old = config.get("rope_parameters"), config.get("rope_scaling")
    if not isinstance(parameters, Mapping) or not isinstance(old, Mapping) or not parameters or not old:
        return
    for key in sorted({*parameters, *old} - {"rope_theta", "type", "rope_type", "partial_rotary_factor"}):
        if parameters.get(key) != old.get(key):
            yield (
                f"the config says rope_scaling.{key} = {old.get(key)!r} and rope_parameters.{key} = "
                f"{parameters.get(key)!r}"
            )
    if kind_of(parameters) != kind_of(old):
        yield f"the config says rope_scaling is {kind_of(old)!r} and rope_parameters {kind_of(parameters)!r}"


def problems(
    name: str, parameters: Mapping[str, Any], reads: frozenset[str], kinds: Container[str]
) -> Iterator[str]:
    """Yield a sentence for each thing in a rope dictionary that mlx-lm would compute otherwise.

    `reads` are keys that the family's class reads itself, `kinds` the kinds of scaling that it knows.
    """
    kind = kind_of(parameters)
    if kind != "default" and kind not in kinds:
        yield f"the config says {name}.rope_type = {kind!r}, which mlx-lm's class does not compute"
        return
    if kind not in READ:
        yield f"the config says {name}.rope_type = {kind!r}, which no reference proves for mlx-lm"
        return
    for key in sorted(REQUIRED.get(kind, frozenset())):
        if not isinstance(parameters.get(key), int | float):
            yield f"the config says {name}.rope_type = {kind!r}, but {key} = {parameters.get(key)!r}"
    for key, value in parameters.items():
        if key not in READ[kind] | _SAYS_NOTHING | reads and not _is_computed(key, value, parameters):
            yield f"the config says {name}.{key} = {value!r}, which mlx-lm's rope does not read"


_COMPUTED: Mapping[str, Any] = {"partial_rotary_factor": 1.0, "truncate": True}


def _is_computed(key: str, value: Any, parameters: Mapping[str, Any]) -> bool:
    if value is None:
        return True
    if key in _COMPUTED:
        return bool(value == _COMPUTED[key])
    if key == "mscale_all_dim":
        return bool(parameters.get("mscale"))  # without it transformers takes neither
    if key == "attention_factor":
        factor = parameters.get("factor")
        if not isinstance(factor, int | float) or factor <= 1 or "mscale" in parameters:
            return False
        return isinstance(value, int | float) and math.isclose(value, 0.1 * math.log(factor) + 1.0)
    return False


def drift(parameters: Mapping[str, Any], dims: int) -> float:
    """Return by how many radians a token yarn rotates otherwise where the bounds of its ramp are not truncated.

    Infinite where the settings do not say. Source: transformers 5.23 modeling_rope_utils, yarn (arXiv:2309.00071).
    """
    names = ("rope_theta", "factor", "original_max_position_embeddings")
    theta, factor, context = (parameters.get(name) for name in names)
    fast, slow = parameters.get("beta_fast", 32.0), parameters.get("beta_slow", 1.0)
    numbers = [number for number in (theta, factor, context, fast, slow) if isinstance(number, int | float)]
    if len(numbers) < 5 or min(numbers) <= 0 or numbers[0] <= 1 or dims < 2:
        return math.inf
    low, high = (
        dims * math.log(numbers[2] / (turns * 2 * math.pi)) / (2 * math.log(numbers[0])) for turns in numbers[3:]
    )
    exact = _frequencies(numbers[0], numbers[1], dims, low, high)
    rounded = _frequencies(numbers[0], numbers[1], dims, math.floor(low), math.ceil(high))
    return max(abs(one - other) for one, other in zip(exact, rounded, strict=True))


def _frequencies(theta: float, factor: float, dims: int, low: float, high: float) -> list[float]:
    low, high = max(low, 0.0), min(high, dims - 1.0)
    found = []
    for index in range(dims // 2):
        plain = theta ** (-2 * index / dims)
        ramp = min(max((index - low) / (high - low if high != low else 0.001), 0.0), 1.0)
        found.append(plain * (1 - ramp) + plain / factor * ramp)
    return found


def theta_of(config: Mapping[str, Any], layer_type: str, key: str) -> Any:
    """Return rope_theta of one layer type where it is plain, else the value under the old `key`."""
    parameters = (by_layer_type(config) or {}).get(layer_type)
    if parameters is None:
        return config.get(key)
    return look_up(parameters, "rope_theta") if kind_of(parameters) == "default" else None
