"""Under every key that can be neutral, in every family, a value that acts is refused by name."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hubbot.catalogue import runtimes
from hubbot.catalogue.configs.acting_keys import ACTING, REPEATED
from hubbot.catalogue.configs.conditions import CONDITIONS
from hubbot.catalogue.configs.meanings import is_same
from hubbot.catalogue.configs.source_readers import readers
from hubbot.catalogue.configs.statements import PLAIN, STATEMENTS
from hubbot.catalogue.families import FAMILIES, Family
from hubbot.catalogue.resolution import Resolution
from tests.catalogue.configs.resolving import config_of, resolve

FOREIGN = "a word of no dialect"
# A value that acts under each key whose effect depends on other keys, with what else the config has to say.
ACTING_VALUES: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "rope_scaling": ({"rope_type": "yarn", "factor": 4.0}, {"rope_parameters": None}),
    "rope_theta": (777.0, {"rope_parameters": None, "rope_scaling": None}),
    "partial_rotary_factor": (0.25, {}),
    "sliding_window": (3, {"use_sliding_window": True, "layer_types": None}),
    "use_sliding_window": (True, {"sliding_window": None}),
    "layer_types": (["linear_attention", "sliding_attention"], {}),
    "no_rope_layers": ([1, 0, 0, 0], {}),
    "moe_layers": ([0], {}),
    "attn_type_list": ([0, 1], {}),
    "mlp_layer_types": (["dense", "sparse"], {}),
    "num_key_value_heads": (3, {}),
    "indexer_types": (["full", "shared"], {}),
    "index_topk_pattern": ("FS", {}),
    "index_topk_freq": (4, {"indexer_types": None, "index_skip_topk_offset": 1}),
    "index_skip_topk_offset": (1, {"index_topk_freq": 4, "indexer_types": None}),
    "head_dim": (7, {}),
    "qk_head_dim": (7, {}),
    "q_head_dim": (7, {}),
    "query_pre_attn_scalar": (7, {}),
    "moe_shared_expert_intermediate_size": (77, {}),
    "gating_types": (["per_head", "per_element"], {}),
    "intermediate_size": (77, {}),
    "num_attention_heads": (7, {"num_attention_heads_per_layer": None}),
    "first_k_dense_replace": (1, {"mlp_layer_types": None, "is_moe_layer": None}),
    "sliding_window_pattern": (2, {"layer_types": None}),
    "global_attn_every_n_layers": (2, {"layer_types": None}),
    "use_grouped_topk": (False, {"n_group": 2, "num_expert_group": 2}),
    "shared_moe_mode": ("sigmoid", {}),
    "chunk_size": (4, {}),
    "mamba_chunk_size": (4, {}),
    "expand": (3, {}),
    "mamba_expand": (3, {}),
    "sparse_attention_config.sparse_disable_index_value": ([0], {}),
}
# A default of sampling wherever the number of experts a token has a key of its own, as everywhere.
NEVER_ACTS = {"top_k"}


def planted(config: dict[str, Any], key: str, value: Any, others: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the key put where the text decoder's keys are, and with the other keys set, too."""
    if key == "tie_word_embeddings":  # which transformers takes from outside alone
        return {**config, key: value}
    if "thinker_config" in config:
        return {**config, "thinker_config": planted(config["thinker_config"], key, value, others)}
    inner = config.get("text_config")
    outer, part = (dict(config), dict(inner)) if isinstance(inner, dict) else (None, dict(config))
    part |= {name: held for name, held in others.items() if held is not None or name in part}
    part = {name: held for name, held in part.items() if not (name in others and others[name] is None)}
    name, _, leaf = key.partition(".")
    part[name] = {**(part.get(name) or {}), leaf: value} if leaf else value
    return part if outer is None else {**outer, "text_config": part}


def acting_words(key: str, family: Family) -> Iterator[Any]:
    row = STATEMENTS[key]
    done = {**PLAIN, **family.always}.get(row.statement)
    done = done if isinstance(done, tuple) else (done,)
    for word, meant in row.words:
        if not any(is_same(one, other) for one in meant for other in done):
            yield word
    yield FOREIGN if row.words else 77


def acting_values(key: str, family: Family) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    if key in CONDITIONS:
        yield ACTING_VALUES[key]
    elif key in STATEMENTS:
        yield from ((word, {}) for word in acting_words(key, family))
    else:
        yield 77, {}


KEYS = sorted({*CONDITIONS, *STATEMENTS, *REPEATED, *ACTING} - NEVER_ACTS)


def test_every_key_with_a_condition_has_a_value_that_acts() -> None:
    assert set(ACTING_VALUES) == set(CONDITIONS) - NEVER_ACTS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_an_acting_value_under_a_key_that_can_be_neutral_is_refused_by_name(family: Family) -> None:
    config = config_of(family)
    assert resolve(config).problems == ()
    told, passed = 0, []
    for key in KEYS:
        for value, others in acting_values(key, family):
            resolved = resolve(planted(config, key, value, others))
            if key in resolved.read or is_idle(key, family, resolved):
                continue
            if not any(key.partition(".")[0] in problem for problem in resolved.problems):
                passed.append((key, value))
            told += 1
    assert passed == []
    assert told > len(KEYS) // 2


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_what_the_runtime_obeys_and_transformers_never_reads_is_refused_by_name(family: Family) -> None:
    passed, told = [], set()
    for key in obeyed_by_the_runtime_alone(family):
        value = family.defaults[key]
        for word, _meant in STATEMENTS[key].words or ((77, ()),):
            if STATEMENTS[key].is_synonym(word, value):
                continue
            told.add(key)
            problems = resolve(planted(config_of(family), key, word, {})).problems
            if not any(key in problem for problem in problems):
                passed.append((key, word))
    assert passed == []
    assert told >= OBEYED_ALONE.get(family.model_type, set())


# A few of them, known: so that the test above is never without anything to ask.
OBEYED_ALONE = {
    "qwen3_vl_moe": {"norm_topk_prob"},
    "afmoe": {"route_norm", "score_func"},
    "hy_v3": {"norm_topk_prob", "routed_scaling_factor", "use_qk_norm"},
}


def obeyed_by_the_runtime_alone(family: Family) -> Iterator[str]:
    sources = readers(family.transformers_type or family.model_type, *family.text_types[:1])
    fields = runtimes.fields(family.text_args or family.runtime, None if family.text_args else family.model_file)
    read = {field.name for field in fields or () if field.is_read and field.name not in family.fixed}
    for key in sorted(family.defaults.keys() & STATEMENTS.keys() & read):
        if sources and key not in sources.names and STATEMENTS[key].statement != "tied":
            yield key


def is_idle(key: str, family: Family, resolved: Resolution) -> bool:
    """Where the family makes the key say nothing: no rope, no dense layers, a scan, a window that it reads."""
    always = {**PLAIN, **family.always}
    return any(
        (
            key in {"rope_scaling", "rope_theta", "partial_rotary_factor"} and always["rope"] == "none",
            key == "rope_theta" and "rope_parameters.rope_theta" in resolved.read,
            key == "intermediate_size" and always["dense_layers"] == "none",
            key == "shared_moe_mode" and always["shared_experts"] == 0,
            key in {"chunk_size", "mamba_chunk_size", "expand", "mamba_expand"} and "recurrent" in always,
            key == "use_sliding_window" and any(origin.field == "sliding_window" for origin in resolved.origins),
        )
    )
