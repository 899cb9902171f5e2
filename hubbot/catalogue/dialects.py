"""Config keys: what transformers 4 and 5 write, and what mlx-lm's ModelArgs read.

Every field of the runtime's ModelArgs gets a value with a recorded origin, and every key of the source's
config is read, known to have no effect on inference, or a problem by name. It never falls to a class default
silently: that is how most silently wrong conversions happen.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue.families import Family
from hubbot.catalogue.ranges import value_problem
from hubbot.catalogue.runtimes import ArgField
from hubbot.plans import Origin

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_TOP_K = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts")
# Runtime field -> the keys a config may hold it under; "a.b" reads a nested key (transformers 5).
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_EXPERTS, _EXPERTS),
    **dict.fromkeys(_TOP_K, _TOP_K),
    "rope_theta": ("rope_parameters.rope_theta", "rope_theta"),
    "partial_rotary_factor": ("rope_parameters.partial_rotary_factor", "partial_rotary_factor"),
}
# Keys without effect on the function that a text decoder computes at inference.
INERT = frozenset(
    {
        "architectures", "auto_map", "dtype", "torch_dtype", "model_type", "transformers_version", "use_cache",
        "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id",
        "initializer_range", "initializer_factor", "attention_dropout", "hidden_dropout", "resid_pdrop",
        "embd_pdrop", "attn_pdrop", "classifier_dropout", "router_aux_loss_coef", "router_jitter_noise",
        "input_jitter_noise", "output_router_logits", "output_attentions", "output_hidden_states", "return_dict",
        "is_encoder_decoder", "is_decoder", "id2label", "label2id", "problem_type", "chunk_size_feed_forward",
        "pretraining_tp", "max_position_embeddings", "max_window_layers", "use_sliding_window",
        "task_specific_params", "gradient_checkpointing", "attn_implementation", "tokenizer_class",
        "finetuning_task", "language",
        "model_max_length", "quantization", "quantization_config", "experts_implementation",
    }
)  # fmt: skip
_INERT_PATTERN = re.compile(r"_.*|.*_version|unsloth_.*|.*_name_or_path")
# Keys that change the function unless they hold one of these values, where the runtime does not read them.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "qkv_bias": (False,),
    "lm_head_bias": (False,),
    "rope_traditional": (False,),
    "rope_interleave": (False,),
    "clip_qkv": (),
    "logit_softcapping": (),
    "n_group": (1,),
    "topk_group": (1,),
    "routed_scaling_factor": (1.0,),
    "scoring_func": ("softmax",),
    "norm_topk_prob": (),
}
# Keys of the source that the written config keeps, beside the runtime's own fields.
KEPT = (
    "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "hidden_act", "max_position_embeddings",
    "initializer_range", "attention_dropout", "attention_bias", "router_aux_loss_coef", "use_cache",
    "transformers_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The runtime's fields with their origins, the config to write, and what stands in the way.

    `problems` are sentences naming key and value; `notes` are flags without effect that are worth recording.
    """

    origins: tuple[Origin, ...]
    config: Mapping[str, Any]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def expert_count(config: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return (key, count) of the routed experts a config declares, top level or in text_config, or None."""
    return _first_int(config, _EXPERTS)


def experts_per_token(config: Mapping[str, Any]) -> int | None:
    """Return the top-k a config declares, or None."""
    found = _first_int(config, _TOP_K)
    return found[1] if found else None


def layer_count(config: Mapping[str, Any]) -> int | None:
    """Return num_hidden_layers, or None where the config does not say."""
    found = _first_int(config, ("num_hidden_layers",))
    return found[1] if found else None


def resolve(config: Mapping[str, Any], family: Family, fields: tuple[ArgField, ...]) -> Resolution:
    """Return every ModelArgs field of `family`'s runtime with its value and origin, and every problem found."""
    problems: list[str] = []
    origins: list[Origin] = []
    consumed: set[str] = set()
    for field in fields:
        origin, keys = _origin(field, config, family, problems)
        if origin:
            origins.append(origin)
            if field.is_read:
                consumed |= keys
    problems += [problem for origin in origins if (problem := value_problem(origin.field, origin.value, config))]
    problems += list(_beyond_limits(origins, family))
    unread = [f"{key} = {value!r}" for key, value in _acting(config, consumed, family)]
    problems += [f"the config says {text}, which mlx-lm's {family.runtime} class does not read" for text in unread]
    return Resolution(
        origins=tuple(origins),
        config=_written(config, family, origins),
        problems=tuple(problems),
        notes=tuple(_without_effect(config)),
    )


def _origin(
    field: ArgField, config: Mapping[str, Any], family: Family, problems: list[str]
) -> tuple[Origin | None, set[str]]:
    name = field.name
    if name in {"model_type", "rope_scaling", "rope_parameters"}:
        return _rewritten(name, config, family, problems)
    found = _values(config, SYNONYMS.get(name, (name,)))
    derived = DERIVED[name](config) if name in DERIVED else None
    if derived is not None:
        found[", ".join(derived.keys)] = derived.value
    if len({repr(value) for value in found.values()}) > 1:
        problems.append(f"{name} has two values: {', '.join(f'{k} = {v!r}' for k, v in found.items())}")
    if found:
        key, value = next(iter(found.items()))
        keys = {*found, *(derived.keys if derived else ())}
        return Origin(field=name, value=value, origin="config" if key == name else f"config: {key}"), keys
    if name == "head_dim" and family.derived_head_dim:
        return Origin(field=name, value=_head_dim(config), origin=_DERIVED_WIDTH), set()
    if name in family.defaults:
        source = f"default of {family.default_source}'s {family.model_type} config"
        return Origin(field=name, value=family.defaults[name], origin=source), set()
    if field.is_read or field.required:
        problems.append(f"{name} is not in the config and transformers gives it no default")
    return None, set()


def _rewritten(
    name: str, config: Mapping[str, Any], family: Family, problems: list[str]
) -> tuple[Origin, set[str]]:
    """Return the origin of a field that is never taken over as it stands."""
    if name == "rope_scaling":
        return _rope_scaling(config, problems)
    if name == "rope_parameters":
        # A class that takes both spellings gets the values one by one, so that no two can disagree.
        return Origin(field=name, value=None, origin="spelled out in rope_theta and rope_scaling"), set()
    rewritten = "config" if family.runtime == family.model_type else "rewritten to mlx-lm's class"
    return Origin(field=name, value=family.runtime, origin=rewritten), {name}


_DERIVED_WIDTH = "hidden_size / num_attention_heads (transformers 5.23)"


def _head_dim(config: Mapping[str, Any]) -> int:
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return hidden // heads if isinstance(hidden, int) and isinstance(heads, int) and heads > 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A field's value worked out from config keys that spell it in another form."""

    value: Any
    keys: tuple[str, ...]


def _rotary_dim(config: Mapping[str, Any]) -> Derived | None:
    found = _values(config, SYNONYMS["partial_rotary_factor"])
    width, factor = config.get("head_dim") or _head_dim(config), next(iter(found.values()), None)
    if not isinstance(width, int) or not isinstance(factor, int | float):
        return None
    return Derived(value=int(width * factor), keys=tuple(found))


def _is_moe_layer(config: Mapping[str, Any]) -> Derived | None:
    kinds = config.get("mlp_layer_types")
    if not isinstance(kinds, list):
        return None
    return Derived(value=[kind == "sparse" for kind in kinds], keys=("mlp_layer_types",))


# Fields that some configs spell in another form.
DERIVED: Mapping[str, Callable[[Mapping[str, Any]], Derived | None]] = {
    "rotary_dim": _rotary_dim,
    "is_moe_layer": _is_moe_layer,
}


def _beyond_limits(origins: list[Origin], family: Family) -> Iterator[str]:
    for origin in origins:
        limit = family.limits.get(origin.field)
        if limit is not None and origin.value not in limit.values:
            yield f"the config says {origin.field} = {origin.value!r}: {limit.reason}"


def _rope_scaling(config: Mapping[str, Any], problems: list[str]) -> tuple[Origin, set[str]]:
    # transformers 5 folds rope_theta and rope_scaling into rope_parameters with rope_type "default" for none.
    parameters = config.get("rope_parameters")
    scaling = config.get("rope_scaling")
    if isinstance(parameters, Mapping) and any(isinstance(value, Mapping) for value in parameters.values()):
        problems.append(f"rope_parameters differ by layer type: {dict(parameters)!r}")
    if isinstance(parameters, Mapping) and parameters.get("rope_type", "default") != "default":
        value = {k: v for k, v in parameters.items() if k not in {"rope_theta", "partial_rotary_factor"}}
        value["type"] = value["rope_type"]
        return Origin(field="rope_scaling", value=value, origin="config: rope_parameters"), {
            "rope_parameters",
            "rope_scaling",
        }
    kind = (scaling.get("rope_type") or scaling.get("type")) if isinstance(scaling, Mapping) else None
    if isinstance(scaling, Mapping) and kind != "default":
        return Origin(field="rope_scaling", value=dict(scaling), origin="config"), {"rope_scaling"}
    return Origin(field="rope_scaling", value=None, origin="no scaling in the config"), {"rope_scaling"}


def _acting(config: Mapping[str, Any], consumed: set[str], family: Family) -> Iterator[tuple[str, Any]]:
    """Yield the keys that can change the function and that the runtime does not read."""
    for key, value in config.items():
        if value is None or key in consumed or key in INERT or key in family.inert:
            continue
        if _INERT_PATTERN.fullmatch(key):
            continue
        if value in family.neutral.get(key, ()) or value in NEUTRAL.get(key, ()):
            continue
        if key not in NEUTRAL and (value is False or (value in ("", [], {}) and not isinstance(value, bool))):
            continue  # a switch that is off, of a feature that neither side knows
        if key == "rope_parameters" and isinstance(value, Mapping):
            yield from _unread_rope(value, consumed)
        elif key not in _IDLE_WHEN or not _IDLE_WHEN[key](value, config, consumed):
            yield key, value


def _unread_rope(parameters: Mapping[str, Any], consumed: set[str]) -> Iterator[tuple[str, Any]]:
    scaled = parameters.get("rope_type", "default") != "default"
    for key, value in parameters.items():
        name = f"rope_parameters.{key}"
        neutral = key == "rope_type" and value == "default"
        neutral = neutral or (key == "partial_rotary_factor" and value == 1.0)
        if not neutral and name not in consumed and not (scaled and "rope_parameters" in consumed):
            yield name, value


def _is_unscaled(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    return isinstance(value, Mapping) and (value.get("rope_type") or value.get("type")) == "default"


def _is_superseded(_value: Any, _config: Mapping[str, Any], consumed: set[str]) -> bool:
    return "rope_parameters.rope_theta" in consumed


def _is_wide(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    # A window at least as long as the context never cuts anything off.
    limit = config.get("max_position_embeddings")
    off = config.get("use_sliding_window") is False
    return off or (isinstance(value, int) and isinstance(limit, int) and value >= limit)


def _is_full_attention(value: Any, _config: Mapping[str, Any], _consumed: set[str]) -> bool:
    return isinstance(value, list) and all(kind == "full_attention" for kind in value)


def _is_derived_head_dim(value: Any, config: Mapping[str, Any], _consumed: set[str]) -> bool:
    heads = config.get("num_attention_heads")
    return isinstance(value, int) and isinstance(heads, int) and value * heads == config.get("hidden_size")


# Keys whose effect depends on more than their own value, and the question that says they have none.
_IDLE_WHEN: Mapping[str, Callable[[Any, Mapping[str, Any], set[str]], bool]] = {
    "rope_scaling": _is_unscaled,
    "rope_theta": _is_superseded,
    "sliding_window": _is_wide,
    "layer_types": _is_full_attention,
    "head_dim": _is_derived_head_dim,
}


def _without_effect(config: Mapping[str, Any]) -> Iterator[str]:
    window, limit = config.get("sliding_window"), config.get("max_position_embeddings")
    if window is not None and _is_wide(window, config, set()):
        yield f"sliding_window = {window!r} cannot act within {limit} positions and is left out"


def _written(config: Mapping[str, Any], family: Family, origins: list[Origin]) -> dict[str, Any]:
    written = {key: config[key] for key in KEPT if config.get(key) is not None}
    written.update({origin.field: origin.value for origin in origins})
    written["model_type"] = family.runtime
    if family.model_file:
        written["model_file"] = family.model_file
    return dict(sorted(written.items()))


def _values(config: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for key in keys:
        part: Any = config
        for name in key.split("."):
            part = part.get(name) if isinstance(part, Mapping) else None
        if part is not None:
            found[key] = part
    return found


def _first_int(config: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, int] | None:
    for prefix, part in (("", config), ("text_config.", config.get("text_config"))):
        if not isinstance(part, Mapping):
            continue
        for key in keys:
            value = part.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                return prefix + key, value
    return None
