"""Databricks: DBRX, whose config is nested and whose experts lie below each other in one tensor.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.derivations import Derived
from hubbot.catalogue.configs.keys_without_effect import group_of
from hubbot.catalogue.configs.nesting import found_under
from hubbot.catalogue.families.provenances import DBRX
from hubbot.catalogue.families.row import Family
from hubbot.catalogue.reshapes import Config, Piece, Reshape, transposed

# What DBRX's nested configs may hold beside what its class reads, with the values under which it has no effect.
_FLAT_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "ffn_act_fn": (None, {"name": "silu"}),
    "moe_normalize_expert_weights": (1, 1.0),
    "uniform_expert_assignment": (None, False),
}
# What stands outside as well.
_FLAT_REPEATED = frozenset({"hidden_size", "rope_theta"})


def _flat_attention(config: Mapping[str, Any]) -> Derived | None:
    """DBRX's attn_config; its rope_theta stands in rope_parameters too, or there alone."""
    names = ("kv_n_heads", "clip_qkv", "rope_theta")
    nested, keys = _flat(config, "attn_config", names[:2]), ("attn_config", "rope_parameters.rope_theta")
    thetas = set(found_under(config, ("attn_config.rope_theta", "rope_parameters.rope_theta")).values())
    parameters = config.get("rope_parameters")
    scaled = isinstance(parameters, Mapping) and ropes.kind_of(parameters) != "default"
    if nested is None or len(thetas) != 1 or scaled:
        return None
    return Derived(value={**nested, "rope_theta": thetas.pop()}, keys=keys)


def _flat_experts(config: Mapping[str, Any]) -> Derived | None:
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


def _expert_count(config: Config) -> int:
    return int(config["ffn_config"]["moe_num_experts"])


# Every expert of the class is an MLP with Linear layers of its own.
_EXPERTS = (
    Reshape(
        pattern=r"(.*\.experts)\.mlp\.([vw]1)",
        pieces=(Piece(name=r"\1.{e}.\2.weight"),),
        reason="mlx-lm's DBRX has a module for each expert: w1 and v1 are its rows (models/dbrx.py)",
        each=_expert_count,
    ),
    Reshape(
        pattern=r"(.*\.experts)\.mlp\.w2",
        pieces=(Piece(name=r"\1.{e}.w2.weight", steps=transposed),),
        reason="mlx-lm's DBRX has a module for each expert: w2 is its rows transposed (models/dbrx.py)",
        each=_expert_count,
    ),
)

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="dbrx",
        runtime="dbrx",
        blocks=("ffn",),
        runtime_block="ffn",
        renormalises_one_expert=True,
        layouts={"flat": DBRX},
        # transformers refuses a DBRX whose config ties its output layer.
        always={"norm": "layer", "renormalised": True, "tied": False},
        defaults={},
        derived={"attn_config": _flat_attention, "ffn_config": _flat_experts},
        reshapes=_EXPERTS,
    ),
)
