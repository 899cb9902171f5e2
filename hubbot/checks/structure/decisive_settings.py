"""Gate 1: the settings that decide what a model computes are the source's, by a derivation of the referee's own.

The class that runs the artifact is asked what it makes of the artifact's config.json, after its own defaults; that
is compared with what the referee reads from the source's config.json. The converter's resolution is not asked.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hubbot.artifacts import Finding
from hubbot.checks.decisive import respelled_settings, rope_settings
from hubbot.checks.decisive.source_settings import GROUPS, SourceSettings
from hubbot.checks.structure import finding

CHECK = "decisive settings"
# Judged as rotary embeddings, which are spelled in several keys at once.
ROPE = frozenset({"rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_dim"})
# What classes compute that have no field for a setting, but for those of which code_facts.json says otherwise.
WITHOUT_A_FIELD: Mapping[str, Any] = {
    "attention_bias": False, "mlp_bias": False, "qkv_bias": False, "tie_word_embeddings": False, "n_group": 1,
    "topk_group": 1, "routed_scaling_factor": 1.0, "scoring_func": "softmax", "decoder_sparse_step": 1,
    "mlp_only_layers": [], "final_logit_softcapping": None, "clip_qkv": None, "norm_topk_prob": None,
}  # fmt: skip
# Two names for one kind of layer.
KINDS: Mapping[Any, str] = {"attention": "full_attention", "mamba": "linear_attention"}


def check_decisive_settings(source: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one finding per setting in which `fields` differ from config `source`, or one pass for all of them.

    `fields` are the effective arguments of the class, by name, as it has them after its defaults.
    """
    settings = SourceSettings(source)
    judged = wrong = 0
    for name, found in fields.items():
        expected = None if name in ROPE else respelled_settings.decisive(settings, name)
        if expected is None:
            continue
        judged += 1
        if not _is_same(name, found, expected.value, fields):
            wrong += 1
            yield _differs(name, found, expected.value, expected.key)
    for name, found, value, key in _without_a_field(settings, fields):
        wrong += 1
        yield _differs(name, found, value, key)
    for name, found, value, key in rope_settings.differences(settings, fields):
        wrong += 1
        yield _differs(name, found, value, key)
    if not wrong:
        reason = (
            f"{judged} settings and the rotary embeddings, derived from the source's config.json a second time"
        )
        yield finding(CHECK, "config.json", judged, judged, "pass", reason)


def _without_a_field(settings: SourceSettings, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield (setting, computed, expected, key) where the source says what a class neither reads nor computes."""
    for name, plain in WITHOUT_A_FIELD.items():
        names = GROUPS.get(name, (name,))
        said = settings.said(*names)
        if said is None or any(field in fields for field in names):
            continue
        if said.value is False and not isinstance(plain, bool | None):
            continue  # Tencent's configs say false where a number is left out
        if name == "tie_word_embeddings" and name not in settings.by_class:
            continue  # an output layer of the class's own: the values gate compares it with the embedding
        computed = settings.by_class.get(name, plain)
        if not _is_same(name, computed, said.value, fields):
            yield name, computed, said.value, said.key
    window, context = settings.number("sliding_window"), settings.number("max_position_embeddings")
    kinds = settings.names("layer_types")
    is_off = settings.config.get("use_sliding_window") is False or (kinds and "sliding_attention" not in kinds)
    reads = {"sliding_window", "sliding_window_size"} & set(fields)
    if window and not reads and not is_off and (context is None or window < context):
        yield "sliding_window", None, window, "sliding_window"


def _differs(name: str, found: Any, expected: Any, key: str) -> Finding:
    reason = f"the source says otherwise, by {key}: the model would compute something else"
    return finding(CHECK, f"config.json, {name}", found, expected, "fail", reason)


def _is_same(name: str, found: Any, expected: Any, fields: Mapping[str, Any]) -> bool:
    special = SPECIAL.get(name)
    if special is not None and special(found, expected, fields):
        return True
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return all(key in found and found[key] == value for key, value in expected.items())
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        return list(found) == list(expected)
    return bool(found == expected) and isinstance(found, bool) == isinstance(expected, bool)


def _is_one_group(found: Any, expected: Any, _fields: Mapping[str, Any]) -> bool:
    return {found, expected} <= {None, 1}


def _is_the_quotient(found: Any, expected: Any, fields: Mapping[str, Any]) -> bool:
    heads = fields.get("num_attention_heads")
    return found is None and bool(heads) and expected == fields.get("hidden_size", 0) // heads


def _are_the_same_kinds(found: Any, expected: Any, _fields: Mapping[str, Any]) -> bool:
    if found is None:  # the class then takes attention for full in every layer
        return set(expected or ()) <= {"full_attention"}
    if not isinstance(found, list) or not isinstance(expected, list):
        return False
    return [KINDS.get(kind, kind) for kind in found] == [KINDS.get(kind, kind) for kind in expected]


def _are_the_same_layers(found: Any, expected: Any, fields: Mapping[str, Any]) -> bool:
    """Say whether a step between MoE layers, or a list that the class reads instead, comes to the same."""
    if found is None:
        return fields.get("mlp_layer_types") is not None
    if not isinstance(found, int) or found < 1 or not isinstance(expected, list):
        return False
    dense = fields.get("first_k_dense_replace") or 0
    return expected == [int(layer >= dense and layer % found == 0) for layer in range(len(expected))]


def _are_the_same_limits(found: Any, expected: Any, _fields: Mapping[str, Any]) -> bool:
    """Say whether two lists of limits by layer are the same: 0 and null are none."""
    if not isinstance(found, list) or not isinstance(expected, list):
        return not found and not expected
    return [limit or None for limit in found] == [limit or None for limit in expected]


# Settings whose values may be spelled in two ways that mean the same.
SPECIAL: Mapping[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
    "n_group": _is_one_group,
    "num_expert_group": _is_one_group,
    "topk_group": _is_one_group,
    "head_dim": _is_the_quotient,
    "layer_types": _are_the_same_kinds,
    "swiglu_limits": _are_the_same_limits,
    "swiglu_limits_shared": _are_the_same_limits,
    "moe_layer_freq": _are_the_same_layers,
}
