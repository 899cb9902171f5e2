"""Rotary embeddings twice: as a source's config describes them, and as an mlx-lm class computes them.

transformers 5 keeps all of it in rope_parameters, flat or by layer type; transformers 4 in rope_theta and
rope_scaling. It shares nothing with catalogue/configs/ropes.py, which the converter's resolution uses.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from hubbot.checks.decisive.source_settings import SourceSettings

FULL, SLIDING = "full_attention", "sliding_attention"
# Where each layer has a base and a share of its own: the kinds of layers whose rope is scaled (StepFun).
SCALED_TYPES = "yarn_only_types"
# DeepSeek-V4: the base in layers with entries, the only ones that are scaled.
COMPRESSED = "compress_rope_theta"
# What is left out of a scaling, in transformers (modeling_rope_utils) and in mlx-lm (models/rope_utils.py).
_BETAS: Mapping[str, float] = {"beta_fast": 32.0, "beta_slow": 1.0}
_MLX_CONTEXT: Mapping[str, int] = {"yarn": 4096, "llama3": 8192}
_READ: Mapping[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor", "llama_4_scaling_beta"),
    "proportional": ("factor",),
    "dynamic": ("alpha", "factor"),
    "longrope": (
        "short_factor",
        "long_factor",
        "short_mscale",
        "long_mscale",
        "original_max_position_embeddings",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """One rotary embedding: its base, its kind of scaling with what that needs, the share of a head it rotates.

    `share` is None where a class has no field for it; `key` says where the base was read from.
    """

    base: Any
    scaling: Mapping[str, Any]
    share: float | None
    key: str


def source_ropes(source: SourceSettings) -> dict[str, Rope]:
    """Return the rotary embeddings of a source by layer type, "" where all layers have the same."""
    config, kept = source.config, source.config.get("rope_parameters")
    default = source.defaults.get("rope_parameters") or {}
    if COMPRESSED in {**source.defaults, **config}:
        return _said_of_entries(source, kept if isinstance(kept, Mapping) else {})
    if _is_by_layer(kept):
        return {kind: _said(source, part, default) for kind, part in kept.items() if isinstance(part, Mapping)}
    if SCALED_TYPES in source.always:
        return _said_by_layer(source, config)
    if "swa_rope_theta" in config:  # transformers 4 had one key for each kind of layer
        old = {FULL: "rope_theta", SLIDING: "swa_rope_theta"}
        share = config.get("partial_rotary_factor", 1.0)
        return {
            kind: Rope(base=config.get(key), scaling={"kind": "default"}, share=share, key=key)
            for kind, key in old.items()
        }
    if not any(config.get(key) for key in ("rope_parameters", "rope_scaling", "rope_theta", "attn_config")):
        parts = default if _is_by_layer(default) else {"": default} if default else {}
        return {kind: _said(source, part, part) for kind, part in parts.items()}
    scaling = config.get("rope_scaling")
    flat = kept if isinstance(kept, Mapping) and kept else scaling if isinstance(scaling, Mapping) else {}
    return {"": _said(source, flat, {} if _is_by_layer(default) else default)}


def runtime_ropes(fields: Mapping[str, Any]) -> dict[str, Rope]:
    """Return the rotary embeddings that a class computes with the effective `fields` of its arguments."""
    kept, attention = fields.get("rope_parameters"), fields.get("attn_config")
    if isinstance(attention, Mapping):
        return {"": Rope(base=attention.get("rope_theta"), scaling={"kind": "default"}, share=None, key="")}
    if "rope_theta" not in fields:
        parts = kept.items() if _is_by_layer(kept) else ()
        return {
            kind: Rope(
                base=part.get("rope_theta"), scaling=_computed(part),
                share=part.get("partial_rotary_factor", 1.0), key="",
            )
            for kind, part in parts
        }  # fmt: skip
    if COMPRESSED in fields:
        share, scaled = fields["qk_rope_head_dim"] / fields["head_dim"], fields.get("rope_scaling") or {}
        return {
            "main": Rope(base=fields["rope_theta"], scaling=_unstretched({}), share=share, key=""),
            "compress": Rope(base=fields[COMPRESSED], scaling=_unstretched(scaled), share=share, key=""),
        }
    if "partial_rotary_factors" in fields:
        return _by_kind(fields, fields.get(SCALED_TYPES), _computed)
    scaling, share = fields.get("rope_scaling"), fields.get("partial_rotary_factor")
    width, rotated = fields.get("head_dim"), fields.get("rotary_dim")
    if share is None and isinstance(rotated, int) and isinstance(width, int) and width:
        share = rotated / width
    plain = {"base": fields["rope_theta"], "scaling": _computed(scaling or {}), "share": share, "key": ""}
    if "swa_rope_theta" in fields:
        return {FULL: Rope(**plain), SLIDING: Rope(**{**plain, "base": fields["swa_rope_theta"]})}
    return {"": Rope(**plain)}


def differences(source: SourceSettings, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield (setting, found, expected, the key it was read from) where a class rotates otherwise."""
    expected, found = source_ropes(source), runtime_ropes(fields)
    if not expected or not {"rope_theta", "rope_parameters", "attn_config"} & set(fields):
        return
    if set(expected) != set(found):
        yield "rope, layer types", sorted(found), sorted(expected), "rope_parameters"
        return
    is_latent = "qk_rope_head_dim" in source.config or "qk_rope_head_dim" in source.defaults
    for kind, rope in expected.items():
        where = f" of {kind}" if kind else ""
        other = found[kind]
        if other.base != rope.base:
            yield f"rope base{where}", other.base, rope.base, rope.key
        for name in sorted({*rope.scaling, *other.scaling}):
            here, there = rope.scaling.get(name), other.scaling.get(name)
            if not _is_same(here, there):
                yield f"rope scaling{where}, {name}", there, here, "rope_parameters or rope_scaling"
        share = 1.0 if other.share is None and not is_latent else other.share
        if share is not None and rope.share is not None and not _is_same(rope.share, share):
            yield f"partial rotary{where}", share, rope.share, "partial_rotary_factor"


def _said_of_entries(source: SourceSettings, kept: Mapping[str, Any]) -> dict[str, Rope]:
    """Return the ropes of a config with entries: plain in layers with a window alone, scaled in the others.

    transformers' deepseek_v4 sets the factor of attention to 1 where the config does not say another.
    """
    config, width = {**source.defaults, **source.config}, source.number("head_dim") or 512
    share = source.config.get("partial_rotary_factor")
    if share is None:
        share = (source.number("qk_rope_head_dim") or width // 8) / width
    main, compressed = {"rope_theta": config.get("rope_theta", 10000.0)}, {"rope_theta": config[COMPRESSED]}
    if _is_by_layer(kept):
        main, compressed = {**main, **kept.get("main", {})}, {**compressed, **kept.get("compress", {})}
    else:
        compressed |= {k: v for k, v in (kept or config.get("rope_scaling") or {}).items() if k != "rope_theta"}
    return {
        kind: Rope(
            base=raw["rope_theta"],
            scaling=_unstretched(raw, config.get("max_position_embeddings")),
            share=raw.get("partial_rotary_factor", share),
            key="rope_theta, compress_rope_theta or rope_parameters",
        )
        for kind, raw in (("main", main), ("compress", compressed))
    }


def _unstretched(raw: Mapping[str, Any], context: Any = None) -> Mapping[str, Any]:
    """Return a scaling whose attention is stretched only where the config itself says so."""
    scaling = _scaling(raw, context)
    if scaling["kind"] == "yarn":
        scaling |= {"attention factor": raw.get("attention_factor", 1.0), "truncate": raw.get("truncate", True)}
    return scaling


def _said_by_layer(source: SourceSettings, config: Mapping[str, Any]) -> dict[str, Rope]:
    """Return the ropes of a config whose rope_theta and partial_rotary_factors may be lists by layer."""
    count = source.number("num_hidden_layers") or 0
    fields = {
        **config,
        "layer_types": (source.names("layer_types") or [FULL] * count)[:count],
        "rope_theta": config.get("rope_theta", 10000.0),
    }
    context = config.get("max_position_embeddings")

    def scaled(raw: Mapping[str, Any]) -> Mapping[str, Any]:
        return _said(source, {**raw, "rope_theta": 1}, {}).scaling if raw else _scaling(raw, context)

    return _by_kind(fields, source.always[SCALED_TYPES], scaled)


def _by_kind(
    fields: Mapping[str, Any], scaled_types: Any, scaling: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> dict[str, Rope]:
    """Return the ropes by kind of layer; a base or a share is a list where layers of one kind differ in it."""
    kinds = fields.get("layer_types") or []
    shares = fields.get("partial_rotary_factors")
    made = {}
    for kind in dict.fromkeys(kinds):
        layers = [number for number, one in enumerate(kinds) if one == kind]
        is_scaled = not scaled_types or kind in scaled_types
        made[kind] = Rope(
            base=_common(fields["rope_theta"], layers),
            scaling=scaling((fields.get("rope_scaling") or {}) if is_scaled else {}),
            share=_common(shares, layers) if shares else 1.0,
            key="rope_theta, partial_rotary_factors",
        )
    return made


def _common(value: Any, layers: list[int]) -> Any:
    if not isinstance(value, list):
        return value
    found = [value[layer] for layer in layers if layer < len(value)]
    return found[0] if found and all(one == found[0] for one in found) else found


def _is_by_layer(kept: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(kept, Mapping) and any(isinstance(part, Mapping) for part in kept.values())


def _kind(raw: Mapping[str, Any]) -> str:
    kind = str(raw.get("type") or raw.get("rope_type") or "default")
    factor = raw.get("factor")
    # Sections for images: a text has one position. And a scaling by 1 scales nothing.
    is_none = kind == "mrope" or (kind in {"yarn", "linear", "deepseek_yarn"} and factor == 1)
    return "default" if is_none else kind.removeprefix("deepseek_")


def _said(source: SourceSettings, raw: Mapping[str, Any], default: Mapping[str, Any]) -> Rope:
    config = source.config
    bases = {
        "rope_parameters.rope_theta": raw.get("rope_theta"),
        "attn_config.rope_theta": (config.get("attn_config") or {}).get("rope_theta"),
        "rope_theta": config.get("rope_theta"),
        "transformers' default of rope_theta": default.get("rope_theta"),
    }
    key, base = next(((key, base) for key, base in bases.items() if base is not None), ("nothing", None))
    shares = (
        raw.get("partial_rotary_factor"), config.get("partial_rotary_factor"), _rotated(config),
        default.get("partial_rotary_factor"), 1.0,
    )  # fmt: skip
    scaling = _scaling(raw, config.get("max_position_embeddings"))
    if scaling["kind"] == "yarn":
        both = raw.get("mscale") and raw.get("mscale_all_dim")  # transformers reads both or neither
        scaling["mscale_all_dim"] = raw["mscale_all_dim"] if both else 0
        own = raw.get("attention_factor")
        shrunk = _stretch(raw.get("factor"), raw["mscale"] if both else 1.0, scaling["mscale_all_dim"])
        scaling["attention factor"] = shrunk if own is None else own
    return Rope(base=base, scaling=scaling, share=next(share for share in shares if share is not None), key=key)


def _computed(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    scaling = _scaling(raw, _MLX_CONTEXT.get(_kind(raw)))
    if scaling["kind"] == "yarn":
        scaling["mscale_all_dim"] = raw.get("mscale_all_dim", 0)
        scaling["attention factor"] = _stretch(raw.get("factor"), raw.get("mscale", 1), scaling["mscale_all_dim"])
    return scaling


def _scaling(raw: Mapping[str, Any], context: Any) -> dict[str, Any]:
    kind = _kind(raw)
    made: dict[str, Any] = {"kind": kind, **{name: raw.get(name) for name in _READ.get(kind, ()) if name in raw}}
    if kind in _MLX_CONTEXT:
        made["original_max_position_embeddings"] = raw.get("original_max_position_embeddings") or context
    if kind == "yarn":
        made |= {name: raw.get(name, value) for name, value in _BETAS.items()}
    return made


def _stretch(factor: Any, scale: Any, all_dims: Any) -> float | None:
    """Return by how much yarn scales attention (arXiv:2309.00071; DeepSeek's mscale over mscale_all_dim)."""
    if not all(isinstance(number, int | float) for number in (factor, scale, all_dims)) or factor <= 1:
        return 1.0
    return float((0.1 * scale * math.log(factor) + 1) / (0.1 * all_dims * math.log(factor) + 1))


def _rotated(config: Mapping[str, Any]) -> float | None:
    rotated, width = config.get("rotary_dim"), config.get("head_dim")
    return rotated / width if isinstance(rotated, int) and isinstance(width, int) and width else None


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return bool(one == other)
