"""The models of the references in other sizes: for the held-out zoo, which must not repeat what the tests hold.

Every width, head, expert and word is half as many again; the widths of heads and the ways of choosing stay.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.reference.rows import Family

# They grow alike, so that what must agree (heads times their width, groups of experts) still does.
GROWING = frozenset({
    "vocab_size", "hidden_size", "d_model", "intermediate_size", "moe_intermediate_size", "ffn_hidden_size",
    "expert_ffn_hidden_size", "shared_intermediate_size", "shared_expert_intermediate_size",
    "intermediate_size_mlp", "moe_shared_expert_intermediate_size", "prefix_dense_intermediate_size",
    "share_expert_dim", "moe_latent_size", "dense_intermediate_size", "n_heads", "kv_n_heads",
    "num_attention_heads", "num_key_value_heads", "num_sliding_attention_heads", "swa_num_attention_heads",
    "swa_num_key_value_heads", "num_global_key_value_heads", "num_experts", "num_local_experts",
    "n_routed_experts", "moe_num_experts", "zero_expert_num", "q_lora_rank", "kv_lora_rank",
    "linear_num_heads", "linear_num_key_heads", "linear_num_value_heads", "mamba_n_heads",
    "mamba_num_heads", "num_heads", "num_attention_groups", "index_n_heads",
})  # fmt: skip
# Parts beside the decoder, which the references do not run.
BESIDE = ("vision", "audio", "talker", "code2wav")


def resized(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with every size that grows half as large again, in text_config and the like, too."""
    return {key: _resized(key, value) for key, value in config.items()}


def _resized(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value) if key.startswith(BESIDE) else resized(value)
    if key not in GROWING:
        return value
    return [_grown(each) for each in value] if isinstance(value, list) else _grown(value)


def _grown(value: Any) -> Any:
    return value * 3 // 2 if isinstance(value, int) and not isinstance(value, bool) else value


def family_resized(family: Family) -> Family:
    """Return the row with all its models in other sizes."""
    return replace(
        family,
        models=tuple(replace(model, changes=resized(model.changes)) for model in family.models),
        config=resized(family.config),
        matters=resized(family.matters),
        added=resized(family.added),
        replaced=resized(family.replaced),
    )
