"""DeepSeek-V4's config in both spellings, DeepSeek's and transformers', as the fields of one class.

It reads configs alone; where one says what transformers would read otherwise it gives no value, or one that a
limit names.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.derivations import MOST_LAYERS, Derivation, Derived
from hubbot.catalogue.families.row import Between, Limit

SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
# transformers: deepseek_v4/configuration_deepseek_v4.py, as all of what follows.
_KINDS: Mapping[int, str] = {0: SLIDING, 4: SPARSE, 128: HEAVY}
_RATES: Mapping[str, str] = {SPARSE: "compress_rate_csa", HEAVY: "compress_rate_hca"}
_COMPRESSED, _MAIN = "compress", "main"


def _layers(config: Mapping[str, Any]) -> int:
    count = config.get("num_hidden_layers")
    return count if isinstance(count, int) and 0 < count < MOST_LAYERS else 0


def _of_ratios(config: Mapping[str, Any]) -> list[str] | None:
    ratios, count = config.get("compress_ratios"), _layers(config)
    # A list may go on for the heads that predict further tokens.
    if not isinstance(ratios, list) or not 0 < count <= len(ratios):
        return None
    known = all(isinstance(ratio, int) and ratio in _KINDS for ratio in ratios[:count])
    return [_KINDS[ratio] for ratio in ratios[:count]] if known else None


def _layer_types(config: Mapping[str, Any]) -> Derived | None:
    listed, of_ratios = config.get("layer_types"), _of_ratios(config)
    if listed is None:
        return Derived(value=of_ratios, keys=("compress_ratios",)) if of_ratios else None
    kinds = listed[: _layers(config)] if isinstance(listed, list) else listed
    agree = ("compress_ratios",) if of_ratios == kinds else ()
    return Derived(value=kinds, keys=("layer_types", *agree))


def _compress_rates(config: Mapping[str, Any]) -> Derived | None:
    said = config.get("compress_rates")
    rates = {**(said if isinstance(said, Mapping) else {SPARSE: 4, HEAVY: 128})}
    keys = ["compress_rates"] if isinstance(said, Mapping) else []
    for kind, key in _RATES.items():
        if config.get(key) is not None:
            rates[kind] = config[key]
            keys.append(key)
    return Derived(value=rates, keys=tuple(keys)) if keys else None


def _mlp_layer_types(config: Mapping[str, Any]) -> Derived | None:
    listed, hashed, count = config.get("mlp_layer_types"), config.get("num_hash_layers"), _layers(config)
    plain = isinstance(hashed, int) and hashed >= 0
    of_number = ["hash_moe"] * min(count, hashed or 0) + ["moe"] * max(count - (hashed or 0), 0) if plain else None
    if listed is None:
        return Derived(value=of_number, keys=("num_hash_layers",)) if of_number else None
    kinds = listed[:count] if isinstance(listed, list) else listed
    return Derived(value=kinds, keys=("mlp_layer_types", *(("num_hash_layers",) if of_number == kinds else ())))


def _rotated(config: Mapping[str, Any]) -> Derived | None:
    width, share, said = (config.get(key) for key in ("head_dim", "partial_rotary_factor", "qk_rope_head_dim"))
    if not isinstance(width, int) or width < 1:
        return None
    if share is None and isinstance(said, int):
        share = said / width
    if not isinstance(share, int | float):
        return None
    rotated = int(width * share)
    inside = [part.get("partial_rotary_factor", share) for part in (ropes.by_layer_type(config) or {}).values()]
    if any(one != share for one in inside):
        return None
    spelled = {"partial_rotary_factor": config.get("partial_rotary_factor"), "qk_rope_head_dim": said}
    return Derived(
        value=rotated,
        keys=tuple(
            key
            for key, value in spelled.items()
            if value is not None and (key == "partial_rotary_factor" or value == rotated)
        ),
    )


def _part(config: Mapping[str, Any], label: str) -> Mapping[str, Any] | None:
    parts = ropes.by_layer_type(config) or {}
    return parts.get(label) if {_MAIN, _COMPRESSED} <= set(parts) else None


def _base(label: str, key: str) -> Derivation:
    """Return the derivation of one of the two bases, which stands inside rope_parameters or under `key`."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        part, said = _part(config, label), config.get(key)
        inside = part.get("rope_theta") if part is not None else None
        if inside is None:
            return None if said is None else Derived(value=said, keys=(key,))
        return Derived(value=inside, keys=("rope_parameters", *((key,) if said in (None, inside) else ())))

    return derive


def _scaling(config: Mapping[str, Any]) -> Derived | None:
    """The scaling of layers with entries; transformers never scales the others.

    Like DeepSeek's code it does not stretch attention by yarn's factor, whose keys are left out.
    """
    if ropes.by_layer_type(config) is None:
        flat = config.get("rope_parameters") or config.get("rope_scaling")
        return _scaled(flat, "rope_parameters" if config.get("rope_parameters") else "rope_scaling", config)
    part, main = _part(config, _COMPRESSED), _part(config, _MAIN)
    if part is None or main is None or ropes.kind_of(main) != "default":
        return Derived(value={"type": "in layers with a window alone"}, keys=("rope_parameters",))
    return _scaled(part, "rope_parameters", config)


def _scaled(raw: object, key: str, config: Mapping[str, Any]) -> Derived | None:
    if not isinstance(raw, Mapping) or ropes.kind_of(raw) == "default":
        return None
    left_out = {"rope_theta", "partial_rotary_factor", "type", "rope_type"}
    left_out |= {"attention_factor"} if raw.get("attention_factor") in (None, 1) else set()
    kind = ropes.kind_of(raw)
    kept = {name: value for name, value in ropes.effective(raw, config).items() if name not in left_out}
    return Derived(value={**kept, "type": kind, "rope_type": kind}, keys=(key,))


class _Yarn:
    """The scalings of rope that the class computes: none, and yarn that does not stretch attention."""

    def __contains__(self, value: object) -> bool:
        if value is None:
            return True
        numbers = {"factor", "original_max_position_embeddings"}
        known = numbers | {"beta_fast", "beta_slow", "truncate", "type", "rope_type"}
        return (
            isinstance(value, Mapping)
            and value.get("type") == "yarn"
            and set(value) <= known
            and all(isinstance(value.get(key), int | float) and value[key] > 0 for key in numbers)
        )


class _Rates:
    """The numbers of tokens an entry, for both kinds."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Mapping) and all(
            isinstance(value.get(kind), int) and 0 < value[kind] < 2**20 for kind in (SPARSE, HEAVY)
        )


class _Lists:
    """The lists of known kinds."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = frozenset(kinds)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, list) and all(isinstance(one, str) and one in self.kinds for one in value)


DERIVED: Mapping[str, Derivation] = {
    "layer_types": _layer_types,
    "compress_rates": _compress_rates,
    "mlp_layer_types": _mlp_layer_types,
    "qk_rope_head_dim": _rotated,
    "rope_theta": _base(_MAIN, "rope_theta"),
    "compress_rope_theta": _base(_COMPRESSED, "compress_rope_theta"),
    "rope_scaling": _scaling,
}
_UNKNOWN = "transformers knows no such kind of layer"
LIMITS: Mapping[str, Limit] = {
    "layer_types": Limit(values=_Lists(SLIDING, SPARSE, HEAVY), reason=_UNKNOWN),
    "mlp_layer_types": Limit(values=_Lists("hash_moe", "moe"), reason=_UNKNOWN),
    "compress_rates": Limit(values=_Rates(), reason="an entry stands for a whole number of tokens"),
    "rope_scaling": Limit(
        values=_Yarn(),
        reason="the class scales by yarn alone, in layers with entries, without a factor of attention",
    ),
    "sliding_window": Limit(values=Between(least=1, most=2**31), reason="every layer has a window"),
    "swiglu_limit": Limit(values=Between(least=1e-6, most=1e30), reason="transformers bounds by a number above 0"),
}
