"""Config keys whose effect depends on other keys: when they have none on the function that a class computes.

Each question is about one key of one config; the rows at the end name key, reason and source.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.meanings import Condition, Judged, is_same
from hubbot.catalogue.configs.spellings import TOP_K


def _is_unscaled(value: Any, judged: Judged) -> bool:
    return _has_no_rope(value, judged) or (isinstance(value, Mapping) and ropes.kind_of(value) == "default")


def _has_no_rope(_value: Any, judged: Judged) -> bool:
    return judged.always.get("rope") == "none"


def _is_superseded_base(value: Any, judged: Judged) -> bool:
    return _has_no_rope(value, judged) or "rope_parameters.rope_theta" in judged.consumed


def _is_whole_or_none(value: Any, judged: Judged) -> bool:
    whole = isinstance(value, int | float) and value == judged.always.get("rotated_share")
    return _has_no_rope(value, judged) or (whole and not isinstance(value, bool))


def is_wide(value: Any, config: Mapping[str, Any]) -> bool:
    """Say whether a sliding window of `value` tokens can never act under `config`."""
    # A window at least as long as the context never cuts anything off.
    limit = config.get("max_position_embeddings")
    off = config.get("use_sliding_window") is False
    return off or (isinstance(value, int) and isinstance(limit, int) and value >= limit)


def _is_window_without_effect(value: Any, judged: Judged) -> bool:
    kinds = judged.config.get("layer_types")
    full = isinstance(kinds, list) and bool(kinds) and all(kind == "full_attention" for kind in kinds)
    return is_wide(value, judged.config) or full


def _is_window_of_its_own(value: Any, judged: Judged) -> bool:
    # The window itself is judged by its own key; without one, transformers' default would act.
    if value is not True:
        return value is False
    return judged.config.get("sliding_window") is not None or "sliding_window" in judged.fields


def _is_attention_of_one_kind(value: Any, judged: Judged) -> bool:
    if not isinstance(value, list):
        return False
    # Llama 4: the layers with rope see in chunks, and mlx-lm's class takes every fourth for one without.
    chunked = ["full_attention" if (layer + 1) % 4 == 0 else "chunked_attention" for layer in range(len(value))]
    if judged.always.get("no_rope_every") == 4:
        return bool(value == chunked)
    # Every layer of an indexed attention has its indexer.
    indexed = "index_topk" in judged.fields
    return len(set(value)) <= 1 and set(value) <= (
        {"full_attention", "indexed_attention"} if indexed else {"full_attention"}
    )


def _is_every_fourth(value: Any, judged: Judged) -> bool:
    every = judged.always.get("no_rope_every")
    if not isinstance(value, list) or every is None:
        return isinstance(value, list) and all(one == 1 for one in value)
    return value == [] or value == [int((layer + 1) % every != 0) for layer in range(len(value))]


def _is_every_step(value: Any, judged: Judged) -> bool:
    step, layers = judged.config.get("interleave_moe_layer_step"), judged.config.get("num_hidden_layers")
    if not isinstance(step, int) or not isinstance(layers, int) or step < 1:
        return False
    return isinstance(value, list) and value == list(range(step - 1, layers, step))


def _is_sparse_everywhere(value: Any, _judged: Judged) -> bool:
    return isinstance(value, list) and all(kind == "sparse" for kind in value)


def _is_width_of_a_head(value: Any, judged: Judged) -> bool:
    config = judged.config
    # Of a latent attention the class reads the parts that a head is made of; transformers sets the key itself.
    nope, rope = config.get("qk_nope_head_dim"), config.get("qk_rope_head_dim")
    if isinstance(nope, int) and isinstance(rope, int):
        rank = config.get("kv_lora_rank")
        # vLLM's width of what its latent attention keeps.
        kept = {rank + rope} if isinstance(rank, int) else set()
        return value in {rope, nope, nope + rope} | kept
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size", config.get("d_model"))
    return isinstance(value, int) and isinstance(heads, int) and value * heads == hidden


def _is_width_that_scales(value: Any, judged: Judged) -> bool:
    return bool(value == judged.fields.get("head_dim", judged.config.get("head_dim")))


def _is_width_of_an_expert(value: Any, judged: Judged) -> bool:
    if judged.always.get("shared_experts") == value:
        return True
    return bool(value == judged.config.get("moe_intermediate_size"))


def _is_count_of_latent_heads(value: Any, judged: Judged) -> bool:
    if judged.always.get("key_heads") is not None:
        return is_same(value, judged.always["key_heads"])
    # Latent attention keeps one key and value for all heads; a count of them says nothing but that of the heads.
    if "kv_lora_rank" in judged.config or "kv_lora_rank" in judged.fields:
        return bool(value == judged.config.get("num_attention_heads"))
    attention = judged.config.get("attn_config")
    return isinstance(attention, Mapping) and value == attention.get("kv_n_heads")


def _is_full_everywhere(value: Any, _judged: Judged) -> bool:
    return isinstance(value, list | str) and all(kind in {"full", "F"} for kind in value)


def _indexes_every_layer(value: Any, judged: Judged) -> bool:
    # transformers: glm_moe_dsa/configuration_glm_moe_dsa.py; a list says it layer by layer and wins.
    listed = judged.config.get("indexer_types") or judged.config.get("index_topk_pattern")
    if listed is not None:
        return _is_full_everywhere(listed, judged)
    layers, offset = (judged.config.get(key) for key in ("num_hidden_layers", "index_skip_topk_offset"))
    every = judged.config.get("index_topk_freq", 1) in (0, 1)
    # Layers before the offset, 2 where nothing says otherwise, choose in any case.
    before = isinstance(layers, int) and layers <= (offset if isinstance(offset, int) else 2)
    return value is None or every or before


def _is_softmax_everywhere(value: Any, _judged: Judged) -> bool:
    # MiniMax: 1 stands for softmax attention, 0 for the linear attention of earlier models.
    return isinstance(value, list) and all(kind == 1 for kind in value)


def _is_gated_by_head(value: Any, judged: Judged) -> bool:
    per_head = judged.always.get("attention_gate") == "per_head"
    return per_head and isinstance(value, list) and all(kind == "per_head" for kind in value)


def _has_no_dense_layers(_value: Any, judged: Judged) -> bool:
    return judged.always.get("dense_layers") == "none"


def _is_said_by_layer(*keys: str) -> Any:
    def holds(_value: Any, judged: Judged) -> bool:
        return any(judged.config.get(key) is not None for key in keys)

    return holds


def _is_of_another_kind_of_group(value: Any, judged: Judged) -> bool:
    # Groups of one are no groups, whether or not a class looks for the best of them.
    groups = [judged.fields.get(key, judged.config.get(key)) for key in ("n_group", "num_expert_group")]
    return value is True or all(count in (None, 1) for count in groups)


def _is_default_of_sampling(_value: Any, judged: Judged) -> bool:
    # DBRX says it inside its ffn_config, which the class is given whole.
    return any(key in judged.consumed for key in (*TOP_K, "ffn_config"))


def _has_shared_experts(_value: Any, judged: Judged) -> bool:
    return judged.always.get("shared_experts") == 0


def _is_scanned(_value: Any, judged: Judged) -> bool:
    return judged.always.get("recurrent") == "mamba"


def _is_indexed_where_sparse(value: Any, judged: Judged) -> bool:
    nested = judged.config.get("sparse_attention_config")
    where = nested.get("sparse_attention_freq") if isinstance(nested, Mapping) else None
    if not isinstance(value, list) or not isinstance(where, list) or len(value) != len(where):
        return False
    return all(one == 1 for one, sparse in zip(value, where, strict=True) if sparse)


def _row(holds: Any, reason: str, source: str) -> Condition:
    return Condition(holds=holds, reason=reason, source=source)


_MASKS = "transformers: masking_utils.py"
_SCANS = "arXiv:2405.21060: a scan in chunks gives the same sums, and the width is that of the heads"
CONDITIONS: Mapping[str, Condition] = {
    "rope_scaling": _row(_is_unscaled, "no scaling, or no rope", "transformers: modeling_rope_utils.py"),
    "rope_theta": _row(_is_superseded_base, "rope_parameters says it, or there is no rope", "transformers 5"),
    "partial_rotary_factor": _row(_is_whole_or_none, "the whole head is rotated, or nothing", "transformers 5"),
    "sliding_window": _row(_is_window_without_effect, "no shorter than the context, or in no layer", _MASKS),
    "use_sliding_window": _row(_is_window_of_its_own, "the window itself is judged", _MASKS),
    "layer_types": _row(_is_attention_of_one_kind, "every layer is of the class's one kind", _MASKS),
    "no_rope_layers": _row(_is_every_fourth, "the layers that the class leaves without rope", "mlx-lm: llama4.py"),
    "moe_layers": _row(_is_every_step, "what interleave_moe_layer_step says", "transformers: llama4"),
    "attn_type_list": _row(_is_softmax_everywhere, "softmax attention in every layer", "MiniMax-M2's config.json"),
    "mlp_layer_types": _row(_is_sparse_everywhere, "experts in every layer", "transformers 5"),
    "num_key_value_heads": _row(_is_count_of_latent_heads, "one key or latent for all heads", "arXiv:2405.04434"),
    "indexer_types": _row(_is_full_everywhere, "an indexer in every layer", "transformers: glm_moe_dsa"),
    "index_topk_pattern": _row(_is_full_everywhere, "an indexer in every layer", "transformers: glm_moe_dsa"),
    "index_topk_freq": _row(_indexes_every_layer, "an indexer in every layer", "transformers: glm_moe_dsa"),
    "index_skip_topk_offset": _row(_indexes_every_layer, "an indexer in every layer", "transformers: glm_moe_dsa"),
    "head_dim": _row(_is_width_of_a_head, "the width that the class takes anyway", "transformers 5"),
    "qk_head_dim": _row(_is_width_of_a_head, "the width that the class takes anyway", "transformers 5"),
    "q_head_dim": _row(_is_width_of_a_head, "the width that the class takes anyway", "transformers: sarvam_mla"),
    "moe_shared_expert_intermediate_size": _row(
        _is_width_of_an_expert, "a shared expert is as wide as a routed one", "transformers: sarvam_moe"
    ),
    "query_pre_attn_scalar": _row(
        _is_width_that_scales, "attention is scaled by the width of a head", "transformers: step3p7"
    ),
    "gating_types": _row(
        _is_gated_by_head, "one gate a head in every layer", "poolside/Laguna-XS.2's config.json"
    ),
    "intermediate_size": _row(_has_no_dense_layers, "of dense layers, which the class has none of", "mlx-lm"),
    "num_attention_heads": _row(
        _is_said_by_layer("num_attention_heads_per_layer"), "said by layer", "transformers: laguna"
    ),
    "first_k_dense_replace": _row(
        _is_said_by_layer("mlp_layer_types", "is_moe_layer"), "said layer by layer", "transformers: exaone_moe"
    ),
    "sliding_window_pattern": _row(
        _is_said_by_layer("layer_types"), "said layer by layer", "transformers: exaone_moe"
    ),
    "global_attn_every_n_layers": _row(
        _is_said_by_layer("layer_types"), "said layer by layer", "transformers: afmoe"
    ),
    "use_grouped_topk": _row(
        _is_of_another_kind_of_group, "the best of one group is the best of all", "moonshotai/Kimi-Linear-48B-A3B"
    ),
    "top_k": _row(
        _is_default_of_sampling, "of sampling: experts a token have a key of their own", "transformers 4"
    ),
    "shared_moe_mode": _row(_has_shared_experts, "of shared experts, which there are none of", "MiniMax-M2"),
    **dict.fromkeys(
        ("chunk_size", "mamba_chunk_size", "expand", "mamba_expand"), _row(_is_scanned, "of a scan", _SCANS)
    ),
    "sparse_attention_config.sparse_disable_index_value": _row(
        _is_indexed_where_sparse, "the index has no value wherever attention is sparse", "mlx-lm: minimax_m3_vl.py"
    ),
}
