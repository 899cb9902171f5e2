"""Which config keys mean the same, which have no effect on inference, and which a written config keeps.

It only lists them; what a key's value means for one runtime is worked out in dialects.py.
"""

import re
from collections.abc import Mapping
from typing import Any

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
# Keys without effect on the function that a text decoder computes at inference.
INERT = frozenset(
    {
        "architectures", "auto_map", "dtype", "torch_dtype", "model_type", "transformers_version", "use_cache",
        "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id",
        "initializer_range", "initializer_factor", "attention_dropout", "hidden_dropout", "resid_pdrop",
        "embd_pdrop", "emb_pdrop", "attn_pdrop", "classifier_dropout", "router_aux_loss_coef",
        "router_jitter_noise", "input_jitter_noise", "output_router_logits", "output_attentions",
        "output_hidden_states", "return_dict", "is_encoder_decoder", "is_decoder", "id2label", "label2id",
        "problem_type", "chunk_size_feed_forward", "pretraining_tp", "max_position_embeddings",
        "max_window_layers", "use_sliding_window", "task_specific_params", "gradient_checkpointing",
        "attn_implementation", "tokenizer_class", "finetuning_task", "language", "model_max_length",
        "quantization", "quantization_config", "experts_implementation", "aux_loss_alpha", "seq_aux", "ep_size",
        "router_z_loss_coef", "num_logits_to_keep", "for_llm_compressor",
        # Heads that predict further tokens are dropped, by name and with the reason.
        "num_nextn_predict_layers", "num_mtp_layers",
        # The parts beside the text decoder.
        "vision_config", "audio_config", "projector_hidden_size", "merged_hidden_size",
    }
)  # fmt: skip
INERT_PATTERN = re.compile(
    r"_.*|.*_version|unsloth_.*|.*_name_or_path|mtp_.*|(?:image|video|vision|audio|bo[aiv]|eo[aiv])_\w*"
)
# Keys that change the function unless they hold one of these values, where the runtime does not read them.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "qkv_bias": (False,),
    "lm_head_bias": (False,),
    "rope_traditional": (False,),
    "rope_interleave": (False,),
    "clip_qkv": (),
    "logit_softcapping": (),
    "n_group": (1,),
    "num_expert_group": (1,),
    "topk_group": (1,),
    "routed_scaling_factor": (1.0,),
    "scoring_func": ("softmax",),
    "norm_topk_prob": (),
    "moe_renormalize": (),
    "index_topk_freq": (1,),
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
