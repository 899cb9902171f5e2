"""The referee's own reading of a source's config.json: what each decisive setting is, and from which key.

A second derivation, with a table of synonyms of its own: neither the code that resolves configs for the converter
nor a family's row is asked. What a config leaves out is what transformers' config class takes for it, by
transformers_defaults.json, which `python -m tests.refresh` makes from these classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

DEFAULTS = "transformers_defaults.json"
CODE_FACTS = "code_facts.json"
TEXT = "text_config"
# The embeddings are tied by the outer config alone (transformers, modeling_utils.tie_weights).
TIED = "tie_word_embeddings"
OUTER = frozenset({"model_type", "architectures", TIED})
# Names that mean the same, in configs of transformers 4 and 5 and in mlx-lm's classes.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("num_hidden_layers", "n_layers", "num_layers"),
    ("num_attention_heads", "n_heads"),
    ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts", "moe_k", "moe_top_k"),
    ("norm_topk_prob", "moe_renormalize", "route_norm"),
    ("routed_scaling_factor", "router_scaling_factor"),
    ("num_key_value_heads", "num_attention_groups"),
    ("share_expert_dim", "share_expert_dims"),
    ("n_group", "num_expert_group"),
    ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"),
    ("scoring_func", "score_func", "moe_router_score_func", "moe_router_activation_func", "score_function"),
    ("rms_norm_eps", "layernorm_epsilon"),
    ("layer_norm_epsilon", "norm_eps"),
)
# Settings that a class reads under the very name that the config has.
SAME_NAME = (
    "head_dim", "v_head_dim", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim",
    "qk_rope_head_dim", "topk_group", "topk_method", "route_scale", "use_qkv_bias",
    "moe_router_scaling_factor", "swiglu_limits", "swiglu_limits_shared", "norm_expert_weight", "norm_head",
    "use_head_wise_attn_gate", "moe_router_enable_expert_bias",
    "moe_routed_scaling_factor", "moe_router_logit_softcapping", "moe_norm_min", "zero_expert_num",
    "shared_expert_intermediate_size", "first_k_dense_replace", "num_dense_layers", "decoder_sparse_step",
    "mlp_only_layers", "moe_layer_freq", "moe_layer_interval", "moe_layer_start_index", "moe_layer_end_index",
    "moe_layer_num_skipped", "interleave_moe_layer_step", "expert_layer_period", "expert_layer_offset",
    "mlp_layer_types", "sliding_window", "layer_types", "sliding_window_pattern", "attention_chunk_size",
    "full_attention_interval", "attn_layer_period", "attn_layer_offset", "layer_group_size",
    "hybrid_override_pattern", "full_attn_idxs", "hybrid_layer_pattern", "is_moe_layer", "attention_k_eq_v",
    "num_kv_shared_layers", "global_head_dim", "num_global_key_value_heads", "swa_head_dim", "swa_v_head_dim",
    "swa_num_attention_heads", "swa_num_key_value_heads", "num_attention_heads_per_layer", "use_qk_norm",
    "tie_word_embeddings", "attention_bias", "mlp_bias", "qkv_bias", "use_bias", "use_conv_bias", "conv_bias",
    "mamba_conv_bias", "mamba_proj_bias", "router_bias", "use_expert_bias", "add_swa_attention_sink_bias",
    "add_full_attention_sink_bias", "final_logit_softcapping", "attention_value_scale", "attn_scale",
    "floor_scale", "attn_temperature_tuning", "logits_scaling", "attention_multiplier", "embedding_multiplier",
    "residual_multiplier", "swiglu_alpha", "swiglu_limit", "mup_enabled", "use_cla", "cla_share_factor",
    "use_mixed_mlp_moe", "position_embedding_type", "index_topk", "index_head_dim", "index_n_heads",
    "rope_interleave", "indexer_rope_interleave", "activation_situ_beta", "activation_situ_linear_beta",
    "attn_res_block_size", "routed_expert_hidden_size", "latent_moe_use_norm", "mla_use_nope",
    "mla_use_output_gate", "logit_scale", "expert_selection_fn", "shared_expert_combination_strategy",
    "prefix_dense_intermediate_size", "indexer_types",
    "o_groups", "o_lora_rank", "hc_mult", "hc_sinkhorn_iters",
    "hc_eps", "compress_rates",
)  # fmt: skip
# Where null is a value, and not the same as a key that is not there.
NULL_IS_A_VALUE = frozenset(
    {
        "q_lora_rank", "n_shared_experts", "n_group", "topk_group", "sliding_window", "final_logit_softcapping",
        "num_global_key_value_heads", "attention_value_scale", "attention_chunk_size", "rms_norm_eps",
        "activation_situ_linear_beta",
    }
)  # fmt: skip
GROUPS: Mapping[str, tuple[str, ...]] = {
    **{name: (name, *(other for other in group if other != name)) for group in SYNONYMS for name in group},
    **{name: (name,) for name in SAME_NAME},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A decisive setting: its value, and the key, default or rule that it was read from."""

    value: Any
    key: str


@cache
def defaults_of(model_type: str) -> Mapping[str, Any]:
    """Return what transformers' config class of a model type takes for keys that a config leaves out."""
    data = json.loads((files(__package__) / DEFAULTS).read_text(encoding="utf-8"))
    found: dict[str, Any] = data["defaults"].get(model_type, {})
    return found


@cache
def code_facts() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Return, by model type, what transformers' and mlx-lm's code do without a key of their configs.

    "always" is what transformers does whatever a config says, "unsaid" what it does where a config does not say
    otherwise (also by the name of a class under architectures), "class" what mlx-lm's class computes that has no
    field for it.
    """
    facts: dict[str, Any] = json.loads((files(__package__) / CODE_FACTS).read_text(encoding="utf-8"))
    return facts


def text_decoder(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the text decoder's config in one mapping: the outer keys, over them those inside text_config."""
    thinker = config.get("thinker_config")
    if isinstance(thinker, Mapping):  # Qwen3-Omni, beside a talker
        config = {**config, **{key: value for key, value in thinker.items() if key not in OUTER - {TIED}}}
    inner = config.get(TEXT)
    merged = {key: value for key, value in config.items() if key != TEXT}
    if isinstance(inner, Mapping):
        said = {key: value for key, value in inner.items() if key not in OUTER}
        merged |= {key: value for key, value in said.items() if value is not None or key not in merged}
    return merged


class SourceSettings:
    """A source's config.json, asked for what it says under a key, and what transformers takes otherwise."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = text_decoder(config)
        self.model_type = str(config.get("model_type"))
        self.defaults = defaults_of(self.model_type)
        self.always, self.unsaid, self.by_class = (
            code_facts()[part].get(self.model_type, {}) for part in ("always", "unsaid", "class")
        )
        names = config.get("architectures")
        for name in names if isinstance(names, list) else ():
            # Two generations under one model type leave out what their own code does.
            self.unsaid = {**self.unsaid, **code_facts()["unsaid"].get(str(name), {})}

    def said(self, *keys: str) -> Setting | None:
        """Return the first of `keys`, each perhaps a dotted path, that the config holds a value for."""
        for key in keys:
            value = _look_up(self.config, key)
            if value is not None:
                return Setting(value=_common(value) if key in PER_LAYER else value, key=key)
        null = next((key for key in keys if key in NULL_IS_A_VALUE and key in self.config), None)
        return Setting(value=None, key=null) if null else None

    def default(self, field: str) -> Setting | None:
        """Return what transformers takes where the config says nothing of `field`, or None."""
        for key in GROUPS.get(field, (field,)):
            if key in self.defaults and (self.defaults[key] is not None or key in NULL_IS_A_VALUE):
                return Setting(value=self.defaults[key], key=f"transformers' default of {key}")
        return None

    def number(self, key: str) -> int | None:
        """Return the whole number under `key`, or None where there is none."""
        value = self.config.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def names(self, key: str) -> list[str] | None:
        """Return the list of names under `key`, one per layer, or None where there is none."""
        value = self.config.get(key)
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return value if is_list else None


# Keys that may hold one value per layer; the same for all is that value.
PER_LAYER = frozenset({"moe_topk", "num_shared_expert"})


def _look_up(config: Mapping[str, Any], path: str) -> Any:
    part: Any = config
    for name in path.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part


def _common(value: Any) -> Any:
    alike = isinstance(value, list) and value and all(item == value[0] for item in value)
    return value[0] if alike else value
