"""StepFun: Step-3.5-Flash, and the text of Step-3.7-Flash.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.derivations import MOST_LAYERS, Derivation, Derived, copied, every_layer, first
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import QWEN_FUSED
from hubbot.catalogue.families.row import Family, Limit, Provenance
from hubbot.catalogue.reshapes import plus_one

FULL, SLIDING = "full_attention", "sliding_attention"
_LISTS = ("swiglu_limits", "swiglu_limits_shared")


def _layers(config: Mapping[str, Any]) -> int:
    count = config.get("num_hidden_layers")
    return count if isinstance(count, int) and 0 < count < MOST_LAYERS else 0


def _cut(key: str) -> Derivation:
    """Return the derivation of a list by layer, without the entries of the heads beyond the decoder."""

    def derive(config: Mapping[str, Any]) -> Derived | None:
        value, count = config.get(key), _layers(config)
        return (
            Derived(value=value[:count], keys=(key,)) if isinstance(value, list) and len(value) >= count else None
        )

    return derive


_KINDS = first(_cut("layer_types"), every_layer(FULL))


def _by_layer(config: Mapping[str, Any], name: str, plain: Any) -> list[Any] | None:
    """Return what rope_parameters say of `name` for each layer, by the kind of its attention."""
    parts, kinds = ropes.by_layer_type(config), _KINDS(config)
    if parts is None or kinds is None or not all(kind in parts for kind in kinds.value):
        return None
    return [parts[kind].get(name, plain) for kind in kinds.value]


def _bases(config: Mapping[str, Any]) -> Derived | None:
    found = _by_layer(config, "rope_theta", 10000.0)
    if found is not None:
        return Derived(value=found, keys=("rope_parameters",))
    return first(_cut("rope_theta"), copied("rope_theta"))(config)


def _shares(config: Mapping[str, Any]) -> Derived | None:
    found = _by_layer(config, "partial_rotary_factor", 1.0)
    if found is not None:
        return Derived(value=found, keys=("rope_parameters",))
    return _cut("partial_rotary_factors")(config)


def _scaling(config: Mapping[str, Any]) -> Derived | None:
    """The scaling of rope in the layers with full attention, the only ones that transformers scales."""
    parts = ropes.by_layer_type(config)
    if parts is None:
        value, _ = ropes.scaling(config)
        return Derived(value=value, keys=("rope_scaling",)) if value else None
    if any(ropes.kind_of(part) != "default" for kind, part in parts.items() if kind != FULL):
        return Derived(value="in layers with a window too", keys=("rope_parameters",))
    full = {"rope_parameters": parts.get(FULL, {})}
    value, _ = ropes.scaling({**full, "max_position_embeddings": config.get("max_position_embeddings")})
    return Derived(value=value, keys=("rope_parameters",)) if value else None


def _sparse_layers(config: Mapping[str, Any]) -> Derived | None:
    """The numbers of the layers with experts; transformers takes all from the fourth where a config is silent."""
    kinds, listed, count = config.get("mlp_layer_types"), config.get("moe_layers_enum"), _layers(config)
    if isinstance(kinds, list):
        numbers, key = [layer for layer, kind in enumerate(kinds) if kind == "sparse"], "mlp_layer_types"
    elif listed is None:
        numbers, key = list(range(3, count)), ""
    else:
        items = listed.split(",") if isinstance(listed, str) else listed
        if not isinstance(items, list) or not all(str(item).strip().isdecimal() for item in items):
            return None
        numbers, key = [int(item) for item in items], "moe_layers_enum"
    numbers = [number for number in numbers if number < count]
    # transformers does not read this key; where it says the same it is no contradiction.
    same = (
        "first_k_dense_replace" if numbers == list(range(config.get("first_k_dense_replace") or 0, count)) else ""
    )
    text = ",".join(str(number) for number in numbers)
    return Derived(value=text, keys=tuple(one for one in (key, same) if one))


def _heads_of_windows(config: Mapping[str, Any]) -> Derived | None:
    """How many heads the layers with a window have, where it is not what the others have."""
    groups = config.get("num_attention_groups", config.get("num_key_value_heads"))
    old, heads = config.get("attention_other_setting"), config.get("num_sliding_attention_heads")
    if isinstance(old, Mapping):
        same = {"num_attention_groups": groups, "head_dim": config.get("head_dim")}
        differing = {f"other {key}": old[key] for key, value in same.items() if key in old and old[key] != value}
        heads = old.get("num_attention_heads", config.get("num_attention_heads"))
        value = {"num_attention_heads": heads, "num_attention_groups": groups, **differing}
        return Derived(value=value, keys=("attention_other_setting",))
    windows = {str(n): {"num_attention_heads": heads} for n, kind in enumerate(_kinds(config)) if kind == SLIDING}
    # transformers leaves out what is the same as in the other layers.
    said = config.get("per_layer_config", windows)
    if heads is None or not (said == windows or (said == {} and heads == config.get("num_attention_heads"))):
        return None
    value = {"num_attention_heads": heads, "num_attention_groups": groups}
    return Derived(value=value, keys=("num_sliding_attention_heads", "per_layer_config"))


def _kinds(config: Mapping[str, Any]) -> list[Any]:
    found = _KINDS(config)
    return list(found.value) if found else []


def _window(config: Mapping[str, Any]) -> Derived | None:
    window = config.get("sliding_window")
    if window is None and SLIDING in _kinds(config):
        return Derived(value="none, with layers that have one", keys=("sliding_window",))
    return Derived(value=window, keys=("sliding_window",))


class _Scaled:
    """The scalings of rope that mlx-lm computes."""

    def __contains__(self, value: object) -> bool:
        if value is None:
            return True
        return isinstance(value, Mapping) and not any(
            ropes.problems("rope_scaling", value, frozenset(), ropes.READ)
        )


class _Windows:
    """The windows that are a number of tokens, or none."""

    def __contains__(self, value: object) -> bool:
        return value is None or (isinstance(value, int) and value > 0)


class _SameKeys:
    """The settings of layers with a window that differ from the others' in their count of heads alone."""

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, Mapping):
            return value is None
        counts = (value.get("num_attention_heads"), value.get("num_attention_groups"))
        whole = all(isinstance(count, int) and 0 < count < MOST_LAYERS for count in counts)
        return whole and len(value) == len(counts)


_STACKED = Provenance(
    order=None, source="transformers 5.24 conversion_mapping of step3p7: moe.gate_proj.weight, ..."
)
_STEP: dict[str, Any] = {
    "runtime": "step3p5",
    "blocks": ("", "mlp"),
    "runtime_block": "mlp",
    "renormalises_one_expert": True,
    "always": {
        "scores": "sigmoid",
        "selection": "biased",
        "renormalised": True,
        "qk_norm": "per_head",
        "attention_gate": "per_head",
        "shared_experts": 1,
    },
    "default_source": "transformers 5.24",
    "defaults": {
        **COMMON,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "partial_rotary_factors": None,
        "attention_other_setting": None,
        "yarn_only_types": [FULL],
        "use_head_wise_attn_gate": True,
        "norm_expert_weight": True,
        "moe_router_scaling_factor": 1.0,
        "moe_top_k": 8,
        "share_expert_dim": 1280,
        "num_attention_groups": 8,
        "head_dim": 128,
        **dict.fromkeys(_LISTS),
    },
    "derived": {
        "num_attention_groups": copied("num_attention_groups", "num_key_value_heads"),
        "share_expert_dim": copied("share_expert_dim", "share_expert_dims"),
        "layer_types": _KINDS,
        "rope_theta": _bases,
        "partial_rotary_factors": _shares,
        "rope_scaling": _scaling,
        "moe_layers_enum": _sparse_layers,
        "attention_other_setting": _heads_of_windows,
        "sliding_window": _window,
        **{key: _cut(key) for key in _LISTS},
    },
    "limits": {
        "rope_scaling": Limit(
            values=_Scaled(),
            reason="mlx-lm computes no such scaling, and transformers none in layers with a window",
        ),
        "attention_other_setting": Limit(
            values=_SameKeys(),
            reason="transformers gives the layers with a window the keys and the head width of the others",
        ),
        "sliding_window": Limit(values=_Windows(), reason="mlx-lm's class would take a window of its own"),
        "yarn_only_types": Limit(values=([FULL],), reason="transformers scales rope in full attention alone"),
        "use_head_wise_attn_gate": Limit(values=(True,), reason="transformers always gates the heads"),
        "norm_expert_weight": Limit(values=(True,), reason="transformers always renormalises the chosen experts"),
    },
    "renames": (
        (r"^model\.language_model\.", "model."),
        (r"\.moe\.gate\.weight$", ".mlp.gate.gate.weight"),
        (r"\.moe\.router_bias$", ".mlp.gate.router_bias"),
        (r"(?<!\.mlp)\.share_expert\.", ".mlp.share_expert."),
        # As transformers holds them.
        (r"\.mlp\.gate\.weight$", ".mlp.gate.gate.weight"),
        (r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.gate.router_bias"),
        (r"\.mlp\.shared_experts\.", ".mlp.share_expert."),
    ),
    "rope_reads": ("partial_rotary_factor",),
    "reshapes": (
        plus_one(
            r".*(?:input_layernorm|post_attention_layernorm|model\.norm|\.q_norm|\.k_norm)\.weight",
            "Step's norms are stored less one (transformers 5.24, Step3p7RMSNorm); mlx-lm's class multiplies them",
        ),
    ),
    "module_names": (
        ("moe.router_bias", "mlp.gate.e_score_correction_bias"),
        ("moe.gate", "mlp.gate"),
        ("share_expert", "mlp.shared_experts"),
    ),
}

FAMILIES: tuple[Family, ...] = (
    Family(model_type="step3p5", layouts={"stacked_in_moe": _STACKED}, **_STEP),
    Family(
        model_type="step3p7",
        layouts={"stacked_in_moe": _STACKED, "stacked_fused": QWEN_FUSED},
        text_types=("step3p5",),
        **_STEP,
    ),
)
