"""Which config keys mean the same, which fields may be null, and which keys a written config keeps.

It only lists them; what a value means for one runtime is worked out in resolution.py.
"""

from collections.abc import Mapping

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
TOP_K = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts", "moe_k", "moe_top_k")
LAYERS = ("num_hidden_layers", "n_layers", "num_layers")
HIDDEN = ("hidden_size", "d_model")
_GROUPS = ("n_group", "num_expert_group")
_RENORMALISED = ("norm_topk_prob", "moe_renormalize")
_CONTEXT = ("max_position_embeddings", "model_max_length")
_SHARED = ("n_shared_experts", "num_shared_experts")
_EPSILON = ("rms_norm_eps", "layernorm_epsilon")
# Runtime field -> the keys a config may hold it under; "a.b" reads a nested key (transformers 5).
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(EXPERTS, EXPERTS),
    **dict.fromkeys(TOP_K, TOP_K),
    **dict.fromkeys(_GROUPS, _GROUPS),
    **dict.fromkeys(_RENORMALISED, _RENORMALISED),
    **dict.fromkeys(_CONTEXT, _CONTEXT),
    **dict.fromkeys(_SHARED, _SHARED),
    **dict.fromkeys(_EPSILON, _EPSILON),
    "layer_norm_epsilon": ("layer_norm_epsilon", "norm_eps"),
    "head_dim": ("head_dim", "attention_head_dim"),
    "rope_theta": ("rope_parameters.rope_theta", "rope_scaling.rope_theta", "rope_theta"),
    "partial_rotary_factor": ("rope_parameters.partial_rotary_factor", "partial_rotary_factor"),
}
# Fields for which null is a value of its own, and not the same as a key that is not there.
NULLABLE = frozenset(
    {
        "q_lora_rank", "n_shared_experts", "moe_latent_size", "num_global_key_value_heads",
        "final_logit_softcapping", "attention_value_scale", "n_group", "topk_group", "clip_qkv", "sliding_window",
    }
)  # fmt: skip
# Keys of the source that the written config keeps, beside the runtime's own fields.
KEPT = (
    "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "hidden_act", "max_position_embeddings",
    "initializer_range", "attention_dropout", "attention_bias", "router_aux_loss_coef", "use_cache",
    "transformers_version",
)  # fmt: skip
