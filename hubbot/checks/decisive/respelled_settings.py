"""Decisive settings that a source spells in another form than the class that runs it: layer lists, patterns.

Each rule is the referee's own, derived from the source's config alone; it gives None where the config does not
spell the setting in that form. What transformers' code does without a key of its config stands in code_facts.json.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from hubbot.checks.decisive.source_settings import GROUPS, Setting, SourceSettings

Rule = Callable[[SourceSettings], Setting | None]


def decisive(source: SourceSettings, field: str) -> Setting | None:
    """Return what the source says of a class's `field`; None where it is no decisive one, or nothing says it."""
    code = f"transformers' {source.model_type} code"
    if field in source.always:
        return Setting(value=source.always[field], key=code)
    rule = RULES.get(field)
    found = rule(source) if rule else None
    if found is None and field in GROUPS:
        found = source.said(*GROUPS[field])
    if found is None and field in source.unsaid:
        return Setting(value=source.unsaid[field], key=code)
    return found or source.default(field)


def _width_of_a_head(source: SourceSettings) -> Setting | None:
    # With grouped linear layers transformers overwrites head_dim by the rotary width and keeps linear_head_dim.
    is_overwritten = "layer_group_size" in {**source.defaults, **source.config}
    names = ("linear_head_dim", "head_dim") if is_overwritten else ("head_dim", "attention_head_dim")
    found = source.said(*names) or source.default("head_dim")
    hidden, heads = source.number("hidden_size"), source.number("num_attention_heads")
    if found is None and hidden and heads:
        return Setting(value=hidden // heads, key="hidden_size / num_attention_heads")
    return found


def _sparse_layer(which: int) -> Rule:
    """The number of the first (0) or last (-1) layer with experts."""

    def rule(source: SourceSettings) -> Setting | None:
        kinds = source.names("mlp_layer_types") or []
        numbers = [number for number, kind in enumerate(kinds) if kind == "sparse"]
        return Setting(value=numbers[which], key="mlp_layer_types") if numbers else None

    return rule


def _dense_at_the_start(source: SourceSettings) -> Setting | None:
    kinds = source.names("mlp_layer_types")
    if kinds is None:
        return None
    count = next((number for number, kind in enumerate(kinds) if kind != "dense"), len(kinds))
    return Setting(value=count, key="mlp_layer_types") if "dense" not in kinds[count:] else None


def _sparse_or_not(yes: Any, no: Any) -> Rule:
    def rule(source: SourceSettings) -> Setting | None:
        kinds = source.names("mlp_layer_types")
        if kinds is None:
            return None
        return Setting(value=[no if kind == "dense" else yes for kind in kinds], key="mlp_layer_types")

    return rule


def _moe_flags(source: SourceSettings) -> Setting | None:
    listed = _sparse_or_not(yes=True, no=False)(source) or source.said("is_moe_layer")
    dense, layers = source.number("first_k_dense_replace"), source.number("num_hidden_layers")
    if listed is None and dense is not None and layers is not None:
        return Setting(value=[number >= dense for number in range(layers)], key="first_k_dense_replace")
    return listed


def _every_how_many_full(source: SourceSettings) -> Setting | None:
    kinds = source.names("layer_types")
    if kinds is None or "full_attention" not in kinds:
        return None
    return Setting(value=kinds.index("full_attention") + 1, key="layer_types")


def _layers_with_attention(source: SourceSettings) -> Setting | None:
    kinds = source.names("layer_types")
    if kinds is None:
        return None
    return Setting(value=[n for n, kind in enumerate(kinds) if kind == "full_attention"], key="layer_types")


def _renamed(key: str, names: Mapping[str, Any]) -> Rule:
    def rule(source: SourceSettings) -> Setting | None:
        kinds = source.names(key)
        if kinds is None or any(kind not in names for kind in kinds):
            return None
        return Setting(value=[names[kind] for kind in kinds], key=key)

    return rule


_LETTERS: Mapping[str, str] = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "moe": "E", "mlp": "-",
}  # fmt: skip


def _letters(source: SourceSettings) -> Setting | None:
    """One letter a layer: M for Mamba, * for attention, E for experts, - for an MLP (NVIDIA's Nemotron-H)."""
    for key in ("layers_block_type", "layer_types"):
        found = _renamed(key, _LETTERS)(source)
        if found is not None:
            return Setting(value="".join(found.value), key=key)
    said = source.said("hybrid_override_pattern")
    return said and Setting(value="".join(said.value), key=said.key)


def _number_of_layers(source: SourceSettings) -> Setting | None:
    said = source.said(*GROUPS["num_hidden_layers"])
    found = (
        _letters(source) if said is None and source.said("layers_block_type", "hybrid_override_pattern") else None
    )
    return Setting(value=len(found.value), key=found.key) if found else said


def _window_with_the_query(source: SourceSettings) -> Setting | None:
    """MiMo's own key leaves the query out of its window, mlx-lm's class and transformers' key count it."""
    own = source.number("sliding_window_size")
    if own is not None:
        return Setting(value=own + 1, key="sliding_window_size, and the query")
    return source.said("sliding_window") or source.default("sliding_window")


def _of_full_layers(key: str) -> Rule:
    """What per_layer_config says of `key` for the layers with full attention."""

    def rule(source: SourceSettings) -> Setting | None:
        layers = source.config.get("per_layer_config")
        if not isinstance(layers, Mapping):
            return None
        values = [layer.get(key) for layer in layers.values() if isinstance(layer, Mapping)]
        same = values and all(value == values[0] for value in values)
        return Setting(value=values[0], key=f"per_layer_config, {key}") if same else None

    return rule


def _same_as(field: str, other: str, times: int = 1) -> Rule:
    """`field` where the config has it, else `times` what it says of `other`."""

    def rule(source: SourceSettings) -> Setting | None:
        said = source.said(field)
        found = said or decisive(source, other)
        if said is not None or found is None or times == 1:
            return found
        return Setting(value=found.value * times, key=f"{times} x {found.key}")

    return rule


def _heads_of_each_layer(source: SourceSettings) -> Setting | None:
    heads, layers = source.number("num_attention_heads"), source.number("num_hidden_layers")
    said = source.said("num_attention_heads_per_layer")
    if said is not None or heads is None or layers is None:
        return said
    return Setting(value=[heads] * layers, key="num_attention_heads")


def _without_heads(key: str) -> Rule:
    """A list by layer, without what it holds for the heads beyond the decoder."""

    def rule(source: SourceSettings) -> Setting | None:
        said, layers = source.said(key), source.number("num_hidden_layers")
        heads = source.number("num_nextn_predict_layers")
        if said is None or layers is None or not heads or not isinstance(said.value, list):
            return said
        return Setting(value=said.value[:layers], key=said.key) if len(said.value) == layers + heads else said

    return rule


def _numbers_of_sparse_layers(source: SourceSettings) -> Setting | None:
    """StepFun's comma-separated numbers; transformers takes the layers from the fourth where nothing is said."""
    kinds, said = source.names("mlp_layer_types"), source.said("moe_layers_enum")
    layers = source.number("num_hidden_layers") or 0
    if kinds is not None:
        numbers, key = [n for n, kind in enumerate(kinds) if kind == "sparse"], "mlp_layer_types"
    elif said is None:
        numbers, key = list(range(3, layers)), "transformers' step3p7 code"
    else:
        items = said.value.split(",") if isinstance(said.value, str) else said.value
        numbers, key = [int(item) for item in items if str(item).strip().isdecimal()], said.key
    return Setting(value=",".join(str(number) for number in numbers if number < layers), key=key)


def _heads_under_windows(source: SourceSettings) -> Setting | None:
    """How many heads StepFun's layers with a window have; transformers gives them the others' keys."""
    old, heads = source.config.get("attention_other_setting"), source.number("num_sliding_attention_heads")
    groups = source.said("num_key_value_heads", "num_attention_groups")
    if isinstance(old, Mapping):
        heads = old.get("num_attention_heads")
    if heads is None or groups is None:
        return None
    value = {"num_attention_heads": heads, "num_attention_groups": groups.value}
    return Setting(value=value, key="the heads of layers with a window")


def _kinds_of_layers(source: SourceSettings) -> Setting | None:
    """What layer_types says; where nothing speaks of kinds or windows, every layer has full attention."""
    said, layers = _without_heads("layer_types")(source), source.number("num_hidden_layers")
    nested = source.config.get("sparse_attention_config")
    where = nested.get("sparse_attention_freq") if isinstance(nested, Mapping) else None
    if said is None and isinstance(where, list):  # MiniMax-M3: 1 where attention looks at chosen blocks alone
        kinds = ["minimax_m3_sparse" if sparse else "full_attention" for sparse in where]
        return Setting(value=kinds, key="sparse_attention_config.sparse_attention_freq")
    windows = ("sliding_window", "attention_chunk_size", "hybrid_override_pattern", "layers_block_type")
    is_plain = not any(source.config.get(key) or source.defaults.get(key) for key in windows)
    if said is None and layers is not None and is_plain:
        return Setting(value=["full_attention"] * layers, key="num_hidden_layers, all with full attention")
    return said


# DeepSeek-V4's tokens an entry, as transformers names the kinds of attention that have them.
_BY_RATIO: Mapping[int, str] = {
    0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention",
}  # fmt: skip


def _kinds_by_ratio(source: SourceSettings) -> Setting | None:
    """What compress_ratios says layer by layer, the decoder's alone; else what layer_types does."""
    ratios, layers = source.config.get("compress_ratios"), source.number("num_hidden_layers")
    if source.names("layer_types") is not None or not isinstance(ratios, list) or layers is None:
        return _kinds_of_layers(source)
    return Setting(value=[_BY_RATIO.get(ratio, ratio) for ratio in ratios[:layers]], key="compress_ratios")


def _tokens_an_entry(source: SourceSettings) -> Setting | None:
    """How many tokens an entry stands for, by kind of attention; DeepSeek's code has two numbers."""
    rates = {kind: ratio for ratio, kind in _BY_RATIO.items() if ratio}
    said = source.config.get("compress_rates")
    rates |= said if isinstance(said, Mapping) else {}
    for kind, key in zip(list(rates), ("compress_rate_csa", "compress_rate_hca"), strict=False):
        rates[kind] = source.config.get(key) or rates[kind]
    return Setting(value=rates, key="compress_rates or compress_ratios")


def _hashed_or_not(source: SourceSettings) -> Setting | None:
    """Which layers choose experts by the token's id: the first num_hash_layers of them."""
    said, layers = source.said("mlp_layer_types"), source.number("num_hidden_layers")
    hashed = source.number("num_hash_layers")
    if said is not None or hashed is None or layers is None:
        return said
    kinds = ["hash_moe" if layer < hashed else "moe" for layer in range(layers)]
    return Setting(value=kinds, key="num_hash_layers")


def _rotated_width(source: SourceSettings) -> Setting | None:
    """How many channels of a head are rotated: a share of it comes before a number (transformers, DeepSeek-V4)."""
    share, width = source.config.get("partial_rotary_factor"), source.number("head_dim")
    if "compress_rope_theta" not in source.config or width is None or not isinstance(share, int | float):
        return source.said("qk_rope_head_dim") or source.default("qk_rope_head_dim")
    return Setting(value=int(width * share), key="partial_rotary_factor")


def _linear_attention(source: SourceSettings) -> Setting | None:
    """Kimi-Linear's linear_attn_config, whose layers count from 1; transformers 5 spells it out."""
    said, kinds = source.said("linear_attn_config"), source.names("layer_types")
    if said is not None or kinds is None:
        return said
    numbers = {name: [n for n, kind in enumerate(kinds, 1) if kind == name] for name in kinds}
    value = {
        "full_attn_layers": numbers.get("full_attention", []),
        "kda_layers": numbers.get("linear_attention", []),
        "head_dim": source.number("linear_head_dim"),
        "num_heads": source.number("linear_num_heads"),
        "short_conv_kernel_size": source.number("linear_conv_kernel_dim"),
    }
    return Setting(value=value, key="layer_types, linear_*")


def _indexers(source: SourceSettings) -> Setting | None:
    """Which layers of an indexed attention choose keys themselves, and which take over an earlier choice."""
    kinds, layers = source.names("indexer_types"), source.number("num_hidden_layers")
    if kinds is not None:
        return Setting(value=kinds, key="indexer_types")
    if layers is None:
        return None
    letters = source.config.get("index_topk_pattern")
    if letters is not None:
        return Setting(
            value=[{"F": "full", "S": "shared"}.get(one, one) for one in letters], key="index_topk_pattern"
        )
    step, offset = source.number("index_topk_freq") or 1, source.number("index_skip_topk_offset")
    first = 2 if offset is None else offset
    # The layers before the offset all choose; from there on one of every `step`.
    choose = {layer for layer in range(layers) if layer < first} | set(range(first - 1, layers, step))
    return Setting(
        value=["full" if layer in choose else "shared" for layer in range(layers)],
        key="index_topk_freq and index_skip_topk_offset",
    )


def _every_how_many_sparse(source: SourceSettings) -> Setting | None:
    """The step from one layer with experts to the next, where it is the same between all of them."""
    said, kinds = source.said("moe_layer_interval"), source.names("mlp_layer_types") or []
    sparse = [number for number, kind in enumerate(kinds) if kind == "sparse"]
    steps = {after - before for before, after in pairwise(sparse)} or {1}
    if said is not None or not sparse or len(steps) > 1:
        return said
    return Setting(value=steps.pop(), key="mlp_layer_types")


def _inside(key: str, names: tuple[str, ...]) -> Rule:
    """The values of `names` inside the config that stands under `key`."""

    def rule(source: SourceSettings) -> Setting | None:
        part = source.config.get(key)
        if not isinstance(part, Mapping):
            return None
        return Setting(value={name: part[name] for name in names if name in part}, key=key)

    return rule


def _renormalised_if_several(source: SourceSettings) -> Setting | None:
    """Tencent's own code (arXiv:2411.02265): a single chosen expert keeps its probability."""
    found = source.said("moe_topk")
    return found and Setting(value=found.value != 1, key=found.key)


RULES: Mapping[str, Rule] = {
    "head_dim": _width_of_a_head,
    "first_k_dense_replace": _dense_at_the_start,
    "is_moe_layer": _moe_flags,
    "full_attention_interval": _every_how_many_full,
    "layer_group_size": _every_how_many_full,
    "full_attn_idxs": _layers_with_attention,
    "hybrid_override_pattern": _letters,
    "sliding_window_size": _window_with_the_query,
    "global_head_dim": _of_full_layers("head_dim"),
    "num_global_key_value_heads": _of_full_layers("num_key_value_heads"),
    "num_attention_heads_per_layer": _heads_of_each_layer,
    "linear_attn_config": _linear_attention,
    "indexer_types": _indexers,
    "attn_config": _inside("attn_config", ("kv_n_heads", "clip_qkv")),
    "ffn_config": _inside("ffn_config", ("moe_num_experts", "moe_top_k", "ffn_hidden_size")),
    "renormalise_top_k": _renormalised_if_several,
    "num_hidden_layers": _number_of_layers,
    "layer_types": _kinds_by_ratio,
    "compress_rates": _tokens_an_entry,
    "mlp_layer_types": _hashed_or_not,
    "qk_rope_head_dim": _rotated_width,
    "moe_layer_start_index": _sparse_layer(0),
    "moe_layer_end_index": _sparse_layer(-1),
    "moe_layer_interval": _every_how_many_sparse,
    "moe_layers_enum": _numbers_of_sparse_layers,
    "attention_other_setting": _heads_under_windows,
    "swiglu_limits": _without_heads("swiglu_limits"),
    "swiglu_limits_shared": _without_heads("swiglu_limits_shared"),
    "moe_layer_freq": _sparse_or_not(yes=1, no=0),
    "hybrid_layer_pattern": _renamed("layer_types", {"full_attention": 0, "sliding_attention": 1}),
    "swa_num_attention_heads": _same_as("swa_num_attention_heads", "num_attention_heads"),
    "swa_num_key_value_heads": _same_as("swa_num_key_value_heads", "num_key_value_heads", 2),
    "swa_head_dim": _same_as("swa_head_dim", "head_dim"),
    "swa_v_head_dim": _same_as("swa_v_head_dim", "v_head_dim"),
}
