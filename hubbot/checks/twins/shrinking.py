"""Shrinks a model's config until it can be run at once, with every kind of layer and every switch kept.

It knows which config keys are sizes and how far each may shrink, and not what a key does.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from hubbot.catalogue.configs.conditions import is_wide
from hubbot.catalogue.resolution import layer_count
from hubbot.checks.twins.layer_kinds import layers_to_keep

Config = dict[str, Any]
LAYER_COUNTS = ("num_hidden_layers", "num_layers", "n_layers")
# Lists of the numbers of layers, wherever they stand.
LAYER_NUMBERS = ("mlp_only_layers", "kda_layers", "full_attn_layers", "no_rope_layers_at", "moe_layers")
EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
TOP_KS = (
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_k", "moe_top_k",
    "top_k_experts",
)  # fmt: skip
# Where they can never act they must not come to act: the context does not shrink.
WINDOWS = ("sliding_window", "sliding_window_size", "attention_chunk_size")
# Their layers are others than the decoder's.
TOWERS = ("vision_config", "audio_config")
# Where a config keeps sizes of its own inside (DBRX).
PARTS = ("ffn_config", "attn_config")
# No key shrinks below what makes the feature that it belongs to act within 32 tokens.
LIMITS: Mapping[str, int] = {
    "vocab_size": 256, "vocab_size_per_layer_input": 256, "hidden_size": 128, "d_model": 128, "head_dim": 32,
    "attention_head_dim": 32, "global_head_dim": 64, "swa_head_dim": 32, "swa_v_head_dim": 64, "v_head_dim": 64,
    "q_lora_rank": 64, "kv_lora_rank": 64, "qk_rope_head_dim": 64, "qk_nope_head_dim": 64, "index_n_heads": 32,
    "index_head_dim": 128, "index_topk": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 32, "linear_value_head_dim": 32, "linear_head_dim": 64, "linear_num_heads": 4,
    "intermediate_size": 192, "intermediate_size_mlp": 192, "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64, "shared_intermediate_size": 64, "dense_intermediate_size": 192,
    "moe_shared_expert_intermediate_size": 64, "ffn_hidden_size": 192, "expert_ffn_hidden_size": 64,
    "hidden_size_per_layer_input": 16, "moe_latent_size": 64,
    "routed_expert_hidden_size": 64, "attn_res_block_size": 2, "share_expert_dim": 64, "sliding_window": 16,
    "sliding_window_size": 16,
    "attention_chunk_size": 16, "mamba_d_head": 32, "mamba_n_heads": 8, "mamba_d_state": 32,
    "mamba_n_groups": 2, "mamba_chunk_size": 16, "mamba_num_heads": 8, "mamba_head_dim": 32,
    "ssm_state_size": 32, "chunk_size": 16, "num_nextn_predict_layers": 0, "zero_expert_num": 3,
}  # fmt: skip
VISION_LIMITS: Mapping[str, int] = {
    "depth": 1, "num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "patch_size": 2,
    "num_position_embeddings": 4, "position_embedding_size": 4, "image_size": 8, "vision_output_dim": 16,
    "projector_input_dim": 16, "projector_output_dim": 16,
}  # fmt: skip
# DeepSeek-V4: tokens an entry of heavily compressed attention, and how many entries a query chooses.
HEAVY_RATE, ENTRIES = 8, 3
HEADS, GROUPS, EXPERTS_PER_GROUP, EXPERTS, TOP_K = 4, 4, 3, 8, 3


def shrink(config: Mapping[str, Any], names: Iterable[str]) -> Config:
    """Return the config of a small twin; `names` are the source's tensors, by which layers are told apart."""
    small = copy.deepcopy(dict(config))
    text = small.get("text_config")
    inner: Config = text if isinstance(text, dict) else small
    count = layer_count(config) or max((inner[key] for key in LAYER_COUNTS if key in inner), default=0)
    ratios = inner.get("compress_ratios")
    if count and isinstance(ratios, list):
        inner["compress_ratios"] = ratios[:count]  # DeepSeek-V4's list goes on for the heads beyond the decoder
    if count:
        _cut(inner, count, layers_to_keep(inner, names, count))
    sums, share = _latent_widths(inner), _rotated_share(inner)
    idle = [key for key in WINDOWS if is_wide(inner.get(key), inner)]
    width = inner.get("head_dim")
    _limit(inner, {key: limit for key, limit in LIMITS.items() if key not in idle})
    inner |= {key: sum(inner[part] for part in parts) for key, parts in sums.items()}
    _shrink_heads(inner)
    _shrink_entries(inner, config)
    _shrink_windowed_heads(inner, width)
    _shrink_experts(inner)
    _shrink_parts(inner)
    _fit_rope(inner, share)
    _fit_token_ids(inner)
    if isinstance(small.get("vision_config"), dict):
        _limit(small["vision_config"], VISION_LIMITS)
        small["vision_config"] |= {"out_hidden_size": inner["hidden_size"], "deepstack_visual_indexes": [0]}
    if inner is not small:
        _fit_token_ids(small)
    return small


def _cut(config: Config, count: int, kept: int) -> None:
    for key, value in list(config.items()):
        by_layer = isinstance(value, list) or (isinstance(value, str) and "pattern" in key)
        if by_layer and len(value) == count:
            config[key] = value[:kept]
        elif key in LAYER_NUMBERS and isinstance(value, list):
            config[key] = [number for number in value if isinstance(number, int) and number <= kept]
        elif isinstance(value, dict) and key not in TOWERS:
            _cut(value, count, kept)
        elif key in LAYER_COUNTS:
            config[key] = kept


def _limit(config: Config, limits: Mapping[str, int]) -> None:
    for key, limit in limits.items():
        if _is_number(config.get(key)) and config[key] > limit:
            config[key] = limit


def _latent_widths(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the keys that only repeat parts of a latent attention's query, with those parts."""
    found: dict[str, tuple[str, ...]] = {}
    for parts in (("qk_rope_head_dim",), ("qk_nope_head_dim",), ("qk_nope_head_dim", "qk_rope_head_dim")):
        if all(_is_number(config.get(part)) for part in parts):
            width = sum(config[part] for part in parts)
            found |= {key: parts for key in ("head_dim", "qk_head_dim") if config.get(key) == width}
    return found


def _shrink_heads(config: Config) -> None:
    """Bring heads to at most four with the kind of sharing kept: none, in groups, or one for all."""
    windowed, others = config.get("swa_num_key_value_heads"), config.get("num_key_value_heads")
    ratio = windowed // others if isinstance(windowed, int) and isinstance(others, int) and others > 0 else 1
    for heads, shared in (
        ("num_attention_heads", "num_key_value_heads"),
        ("num_attention_heads", "num_attention_groups"),
        ("num_attention_heads", "num_global_key_value_heads"),
        ("swa_num_attention_heads", "swa_num_key_value_heads"),
    ):
        if not _is_number(config.get(heads)):
            continue
        before, pairs = config[heads], config.get(shared)
        if _is_number(pairs):
            config[shared] = min(HEADS if pairs == before else 2, config[heads], config[shared])
    if ratio > 1:  # MiMo: transformers takes the windowed layers' heads for so many times the others'
        config["swa_num_key_value_heads"] = min(
            config["num_key_value_heads"] * ratio, HEADS, config["swa_num_attention_heads"]
        )
    for heads in ("num_attention_heads", "swa_num_attention_heads"):
        if _is_number(config.get(heads)):
            config[heads] = min(HEADS, config[heads])


def _shrink_windowed_heads(config: Config, width: Any) -> None:
    """Fit what StepFun's configs say of layers with a window, which have more heads, to the others' heads."""
    if "query_pre_attn_scalar" in config and config["query_pre_attn_scalar"] == width:
        config["query_pre_attn_scalar"] = config.get("head_dim")
    other, kinds = config.get("attention_other_setting"), config.get("layer_types") or []
    if isinstance(other, dict):
        _limit(other, {"num_attention_heads": 2 * HEADS})
        for key in {"head_dim", "num_attention_groups"} & other.keys() & config.keys():
            other[key] = config[key]
    if _is_number(config.get("num_sliding_attention_heads")):
        _limit(config, {"num_sliding_attention_heads": 2 * HEADS})
        windows = [str(layer) for layer, kind in enumerate(kinds) if kind == "sliding_attention"]
        heads = {"num_attention_heads": config["num_sliding_attention_heads"]}
        is_same = heads["num_attention_heads"] == config.get("num_attention_heads")
        config["per_layer_config"] = {} if is_same else {layer: dict(heads) for layer in windows}


def _shrink_entries(config: Config, before: Mapping[str, Any]) -> None:
    """Let DeepSeek-V4's entries stand for few tokens, so that some are chosen among, and fit its widths."""
    if not {"compress_ratios", "compress_rates"} & config.keys():
        return
    if isinstance(config.get("compress_rates"), dict):
        _limit(config["compress_rates"], dict.fromkeys(config["compress_rates"], HEAVY_RATE))
    else:
        config["compress_rate_hca"] = HEAVY_RATE  # transformers reads it beside compress_ratios
    _limit(config, {"index_topk": ENTRIES, "o_groups": HEADS // 2, "o_lora_rank": 64})
    if _is_number(config.get("qk_rope_head_dim")) and _is_number(before.get("head_dim")):
        share = before.get("partial_rotary_factor") or before["qk_rope_head_dim"] / before["head_dim"]
        config["qk_rope_head_dim"] = int(config["head_dim"] * share)


def _shrink_experts(config: Config) -> None:
    grouped = _is_number(config.get("n_group")) and config["n_group"] > 1
    if grouped:
        config["n_group"] = min(config["n_group"], GROUPS)
        if _is_number(config.get("topk_group")):
            config["topk_group"] = min(config["topk_group"], GROUPS // 2)
    experts = config["n_group"] * EXPERTS_PER_GROUP if grouped else EXPERTS
    for key in EXPERT_COUNTS:
        if _is_number(config.get(key)):
            config[key] = min(config[key], experts)
    for key in TOP_KS:
        if _is_number(config.get(key)):
            config[key] = min(config[key], TOP_K)


def _shrink_parts(config: Config) -> None:
    attention = config.get("attn_config")
    if (
        isinstance(attention, dict)
        and _is_number(attention.get("kv_n_heads"))
        and _is_number(config.get("n_heads"))
    ):
        shared = HEADS if attention["kv_n_heads"] == config["n_heads"] else 2
        config["n_heads"] = min(HEADS, config["n_heads"])
        attention["kv_n_heads"] = min(shared, attention["kv_n_heads"], config["n_heads"])
    if isinstance(config.get("linear_attn_config"), dict):
        _limit(config["linear_attn_config"], {"head_dim": LIMITS["head_dim"], "num_heads": HEADS})
    for part in (config[name] for name in PARTS if isinstance(config.get(name), dict)):
        _limit(part, LIMITS)
        _shrink_experts(part)


def _head_width(config: Config) -> int:
    heads = int(config.get("num_attention_heads") or config["n_heads"])
    return int(config.get("head_dim") or int(config.get("hidden_size") or config["d_model"]) // heads)


def _rotated_share(config: Config) -> float:
    """Return the share of a head that rotary_dim says, or 1."""
    rotated = config.get("rotary_dim")
    return min(1.0, rotated / _head_width(config)) if isinstance(rotated, int) else 1.0


def _fit_rope(config: Config, share: float) -> None:
    """Cut what a rotary setting says of single frequencies to the width that is left, rotary_dim to its share."""
    width = _head_width(config)
    for rope in (config.get("rope_parameters"), config.get("rope_scaling")):
        if not isinstance(rope, dict):
            continue
        factor = float(rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0)
        pairs = int(width * factor) // 2
        if isinstance(rope.get("mrope_section"), list):
            rope["mrope_section"] = [pairs - 2 * (pairs // 4), pairs // 4, pairs // 4]
        for key in ("long_factor", "short_factor"):
            if isinstance(rope.get(key), list):
                rope[key] = rope[key][:pairs]
    if _is_number(config.get("rotary_dim")):
        config["rotary_dim"] = min(config["rotary_dim"], int(width * share))


def _fit_token_ids(config: Config) -> None:
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if config.get(key) is not None:
            config[key] = 0


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
