"""Plausible faults in the resolution of decisive settings: wrong synonyms, defaults, flags, lists, scalings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.reference.checkpoints import case

Change = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in the resolution of `setting`, planted while the config of `source` is resolved.

    `synonyms` replace a field's in the resolution's table, `defaults` the family's; `written` are
    fields of the written config and what the fault makes of their values. `said` changes keys of the source
    first, `unsaid` leaves them out.
    """

    setting: str
    what: str
    source: str
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, Change] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """The source's config."""
        given = dict(case(self.source).config)
        inner = given.get("text_config")
        part = dict(inner) if isinstance(inner, Mapping) else given
        for key in self.unsaid:
            part.pop(key, None)
        part.update(self.said)
        return {**given, "text_config": part} if isinstance(inner, Mapping) else part


def config_key(*names: str) -> Callable[[Change], Change]:
    """A change of the value under nested keys `names` of a mapping."""

    def wrap(change: Change) -> Change:
        def changed(value: Any) -> Any:
            name, *rest = names
            inner = config_key(*rest)(change) if rest else change
            return {**value, name: inner(value.get(name))}

        return changed

    return wrap


def to(value: Any) -> Change:
    return lambda _: value


def exchanged(one: str, other: str) -> Change:
    """A mapping in which two keys have each other's values, or a list in which two names have changed places."""

    def change(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {**value, one: value[other], other: value[one]}
        return [{one: other, other: one}.get(name, name) for name in value]

    return change


def flipped(value: Any) -> bool:
    return not value


# fmt: off
FAULTS: tuple[Fault, ...] = (
    Fault(
        setting="rope base", what="transformers 5's rope_parameters is not read", source="qwen3_moe/orig",
        synonyms={"rope_theta": ("rope_theta",)},
    ),
    Fault(
        setting="rope base", what="the default of another family", source="solar_open/hub",
        unsaid=("rope_theta",), defaults={"rope_theta": 10000.0},
    ),
    Fault(
        setting="rope base", what="that of the sliding layers for the full ones", source="mimo_v2_flash/hub",
        written={"rope_theta": to(3217.0), "swa_rope_theta": to(51234.0)},
    ),
    Fault(
        setting="rope base", what="by layer type, exchanged", source="mellum/orig",
        written={"rope_parameters": exchanged("full_attention", "sliding_attention")},
    ),
    Fault(
        setting="rope scaling", what="lost", source="deepseek_v3/yarn/hub", written={"rope_scaling": to(None)},
    ),
    Fault(
        setting="rope scaling", what="of another kind", source="olmoe/llama3/orig",
        written={"rope_scaling": lambda kept: {**kept, "type": "linear", "rope_type": "linear"}},
    ),
    Fault(
        setting="rope scaling, factor", what="its inverse", source="granitemoe/linear/orig",
        written={"rope_scaling": config_key("factor")(lambda factor: 1 / factor)},
    ),
    Fault(
        setting="rope scaling, context", what="the extended context for the original", source="gpt_oss/hub",
        written={"rope_scaling": config_key("original_max_position_embeddings")(to(2048))},
    ),
    Fault(
        setting="rope scaling, ramp", what="beta_fast and beta_slow exchanged", source="gpt_oss/hub",
        written={"rope_scaling": exchanged("beta_fast", "beta_slow")},
    ),
    Fault(
        setting="rope scaling, frequencies", what="low and high exchanged", source="llama4_text/llama3/hub",
        written={"rope_scaling": exchanged("low_freq_factor", "high_freq_factor")},
    ),
    Fault(
        setting="rope scaling, mscale", what="mscale alone is read", source="olmoe/lone_mscale/hub",
        written={"rope_scaling": config_key("mscale")(to(0.5))},
    ),
    Fault(
        setting="rope scaling, attention", what="llama_4_scaling_beta lost", source="mistral4/orig",
        written={"rope_parameters": config_key("llama_4_scaling_beta")(to(0.0))},
    ),
    Fault(
        setting="rope scaling, alpha", what="factor for alpha", source="hunyuan/orig",
        written={"rope_scaling": config_key("alpha")(to(1.0))},
    ),
    Fault(
        setting="partial rotary", what="transformers 5's rope_parameters is not read", source="glm4_moe/orig",
        synonyms={"partial_rotary_factor": ("partial_rotary_factor",)},
        said={"rope_parameters": {"rope_theta": 51234.0, "partial_rotary_factor": 0.25, "rope_type": "default"}},
    ),
    Fault(
        setting="partial rotary", what="a wrong default", source="qwen3_next/hub",
        unsaid=("partial_rotary_factor",), defaults={"partial_rotary_factor": 1.0},
    ),
    Fault(
        setting="partial rotary", what="the whole head in its place", source="minimax_m2/orig",
        written={"rotary_dim": to(32)},
    ),
    Fault(
        setting="top-k", what="the count of experts for the count per token", source="longcat_flash/hub",
        synonyms={"moe_topk": ("n_routed_experts",)},
    ),
    Fault(
        setting="top-k", what="another family's default", source="qwen3_moe/hub",
        unsaid=("num_experts_per_tok",), written={"num_experts_per_tok": to(2)},
    ),
    Fault(
        setting="experts", what="the count per token for the count", source="mixtral/hub",
        synonyms={"num_local_experts": ("num_experts_per_tok",)},
    ),
    Fault(
        setting="renormalisation", what="the sign of the flag", source="qwen3_moe/hub",
        written={"norm_topk_prob": flipped},
    ),
    Fault(
        setting="renormalisation", what="a wrong default", source="deepseek_v3/hub", unsaid=("norm_topk_prob",),
        defaults={"norm_topk_prob": False},
    ),
    Fault(
        setting="renormalisation", what="what the code always does, taken from a stray key",
        source="qwen3_5_moe_text/orig", said={"norm_topk_prob": False},
    ),
    Fault(
        setting="renormalisation", what="another family's key", source="kimi_linear/orig",
        synonyms={"moe_renormalize": ("route_norm",)}, defaults={"moe_renormalize": False},
    ),
    Fault(
        setting="renormalisation", what="with one expert too", source="hunyuan/orig",
        written={"renormalise_top_k": flipped},
    ),
    Fault(
        setting="routed scaling", what="a wrong default", source="deepseek_v3/hub",
        unsaid=("routed_scaling_factor",), defaults={"routed_scaling_factor": 1.0},
        written={"routed_scaling_factor": to(1.0)},
    ),
    Fault(
        setting="routed scaling", what="lost", source="afmoe/hub", written={"route_scale": to(1.0)},
    ),
    Fault(
        setting="groups", what="lost", source="deepseek_v3/hub", said={"n_group": 4, "topk_group": 2},
        synonyms={"n_group": ("num_groups",)}, defaults={"n_group": 1},
    ),
    Fault(
        setting="groups", what="all of them chosen", source="deepseek_v2/hub",
        said={"n_group": 4, "topk_group": 2}, written={"topk_group": to(4)},
    ),
    Fault(
        setting="scoring function", what="softmax for sigmoid", source="glm_moe_dsa/orig",
        defaults={"scoring_func": "softmax"},
    ),
    Fault(
        setting="scoring function", what="what the config says is passed over", source="deepseek_v3/hub",
        said={"scoring_func": "softmax"}, written={"scoring_func": to("sigmoid")},
    ),
    Fault(
        setting="shared experts", what="lost", source="deepseek_v3/hub", written={"n_shared_experts": to(None)},
    ),
    Fault(
        setting="shared experts", what="the default of another family", source="exaone_moe/hub",
        unsaid=("num_shared_experts",), written={"num_shared_experts": to(2)},
    ),
    Fault(
        setting="dense layers", what="one too many at the start", source="glm4_moe/hub",
        written={"first_k_dense_replace": lambda count: count + 1},
    ),
    Fault(
        setting="dense layers", what="a wrong default", source="kimi_linear/orig", unsaid=("mlp_layer_types",),
        defaults={"first_k_dense_replace": 0},
    ),
    Fault(
        setting="dense layers", what="mlp_only_layers lost", source="qwen3_moe/hub",
        said={"mlp_only_layers": [1]}, written={"mlp_only_layers": to([])},
    ),
    Fault(
        setting="dense layers", what="the step of another layer", source="qwen3_moe/hub",
        said={"decoder_sparse_step": 2}, written={"decoder_sparse_step": to(1)},
    ),
    Fault(
        setting="dense layers", what="the sign of the list", source="mimo_v2_flash/orig",
        written={"moe_layer_freq": lambda flags: [1 - flag for flag in flags]},
    ),
    Fault(
        setting="dense layers", what="the list starts one layer later", source="exaone_moe/orig",
        written={"is_moe_layer": lambda flags: [False, *flags[:-1]]},
    ),
    Fault(
        setting="eps", what="a wrong default", source="glm4_moe/hub", unsaid=("rms_norm_eps",),
        defaults={"rms_norm_eps": 1e-6},
    ),
    Fault(
        setting="eps", what="the default of LayerNorm's key", source="lfm2_moe/hub", unsaid=("norm_eps",),
        defaults={"norm_eps": 1e-6},
    ),
    Fault(
        setting="heads", what="those of keys for those of queries", source="mixtral/hub",
        synonyms={"num_attention_heads": ("num_key_value_heads",)},
    ),
    Fault(
        setting="kv heads", what="those of queries for those of keys", source="qwen3_moe/hub",
        synonyms={"num_key_value_heads": ("num_attention_heads",)},
    ),
    Fault(
        setting="kv heads", what="of the sliding layers as of the full ones", source="mimo_v2_flash/orig",
        written={"swa_num_key_value_heads": to(2)},
    ),
    Fault(
        setting="head size", what="the quotient where the config says another", source="qwen3_moe/hub",
        said={"head_dim": 64}, written={"head_dim": to(32)},
    ),
    Fault(
        setting="head size", what="of full attention as of the windows", source="gemma4/orig",
        written={"global_head_dim": to(32)},
    ),
    Fault(
        setting="windows", what="a wrong default", source="gpt_oss/hub", unsaid=("sliding_window",),
        defaults={"sliding_window": 4096},
    ),
    Fault(
        setting="windows", what="the query counted twice", source="mimo_v2_flash/orig",
        written={"sliding_window_size": lambda size: size + 1},
    ),
    Fault(
        setting="windows", what="full and sliding layers exchanged", source="afmoe/hub",
        written={"layer_types": exchanged("full_attention", "sliding_attention")},
    ),
    Fault(
        setting="windows", what="the chunk of another family", source="llama4/orig",
        written={"attention_chunk_size": to(8192)},
    ),
    Fault(
        setting="layer kinds", what="the interval counts from 0", source="qwen3_next/orig",
        written={"full_attention_interval": lambda number: number + 1},
    ),
    Fault(
        setting="layer kinds", what="attention and Mamba exchanged", source="nemotron_h/orig",
        written={"hybrid_override_pattern": lambda text: text.translate(str.maketrans("M*", "*M"))},
    ),
    Fault(
        setting="layer kinds", what="counted from 0 where the class counts from 1", source="kimi_linear/orig",
        written={"linear_attn_config": config_key("full_attn_layers")(lambda layers: [n - 1 for n in layers])},
    ),
    Fault(
        setting="tied embeddings", what="a wrong default", source="gemma4_text/orig",
        unsaid=("tie_word_embeddings",), defaults={"tie_word_embeddings": False},
    ),
    Fault(
        setting="tied embeddings", what="the sign of the flag", source="qwen3_moe/hub",
        written={"tie_word_embeddings": flipped},
    ),
    Fault(
        setting="bias flags", what="the sign of attention_bias", source="glm4_moe/hub",
        written={"attention_bias": flipped},
    ),
    Fault(
        setting="bias flags", what="a wrong default of use_conv_bias", source="nemotron_h/hub",
        unsaid=("use_conv_bias",), defaults={"use_conv_bias": False},
    ),
    Fault(
        setting="bias flags", what="what the class does not read is taken for inert", source="qwen3_moe/hub",
        said={"attention_bias": True, "qkv_bias": True},
    ),
    Fault(
        setting="softcaps", what="lost", source="gemma4_text/orig",
        written={"final_logit_softcapping": to(None)},
    ),
    Fault(
        setting="softcaps", what="of the router, lost", source="laguna/orig",
        said={"moe_router_logit_softcapping": 30.0}, written={"moe_router_logit_softcapping": to(0.0)},
    ),
    Fault(
        setting="multipliers", what="logits_scaling inverted", source="granitemoe/hub",
        written={"logits_scaling": lambda number: 1 / number},
    ),
    Fault(
        setting="query and key norms", what="the sign of the flag", source="solar_open/hub",
        written={"use_qk_norm": flipped},
    ),
    Fault(
        setting="bounds of the activation", what="of the linear part, lost", source="kimi_k3/orig",
        written={"activation_situ_linear_beta": to(None)},
    ),
    Fault(
        setting="bounds of the activation", what="those of two parts exchanged", source="kimi_k3/orig",
        written={"activation_situ_beta": to(2.5), "activation_situ_linear_beta": to(1.5)},
    ),
    Fault(
        setting="saved residuals", what="of every third layer", source="kimi_k3/orig",
        written={"attn_res_block_size": to(3)},
    ),
    Fault(
        setting="latent experts", what="their norm left out", source="kimi_k3/orig",
        written={"latent_moe_use_norm": flipped},
    ),
    Fault(
        setting="gates of attention", what="left out", source="kimi_k3/orig",
        written={"mla_use_output_gate": flipped},
    ),
    Fault(
        setting="multipliers", what="logit_scale lost", source="cohere2_moe/hub",
        written={"logit_scale": to(1.0)},
    ),
    Fault(
        setting="shared experts", what="added, not averaged", source="cohere2_moe/hub",
        written={"shared_expert_combination_strategy": to("sum")},
    ),
    Fault(
        setting="layers that choose", what="moved by one", source="glm_moe_dsa/shared/orig",
        written={"indexer_types": to(["full", "shared", "full", "shared", "shared", "full"])},
    ),
)
# fmt: on
