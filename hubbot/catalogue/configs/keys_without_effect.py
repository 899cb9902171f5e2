"""Config keys that never change what a text decoder computes at inference, by what they are about.

A key stands here whatever its family and its value; a key with one value that acts does not.
"""

import re
from collections.abc import Mapping

from hubbot.catalogue.configs.meanings import WithoutEffect

GROUPS: Mapping[str, WithoutEffect] = {
    "bookkeeping": WithoutEffect(
        reason="says who wrote the file, for which class and in which number format",
        keys=frozenset(
            {
                "architectures", "auto_map", "model_type", "dtype", "torch_dtype", "transformers_version",
                "language", "license", "id2label", "label2id", "num_labels", "problem_type",
                "task_specific_params",
                "finetuning_task", "tokenizer_class", "quantization", "quantization_config", "compression_config",
                "for_llm_compressor", "use_bfloat16", "torchscript", "tf_legacy_loss", "return_dict", "prefix",
                "pretraining_tp", "ep_size", "is_decoder", "is_encoder_decoder", "output_attentions",
                "output_hidden_states", "output_router_logits", "num_logits_to_keep",
                "calc_logits_for_entire_prompt", "class_num", "pool_type", "add_classification_head",
                "org_vocab_size", "dense_list", "expert_dtype",
                "chunk_size_feed_forward", "tie_encoder_decoder", "cross_attention_hidden_size",
            }
        ),
        pattern=r"_.*|.*_version|.*_name_or_path|unsloth_.*|transformers\.js_config",
    ),
    "tokens": WithoutEffect(
        reason="numbers of single tokens, which tokenizer and generation use",
        pattern=r"\w+_token_(?:id|ids|index)|"
        r"(?:bos|eos|eod|pad|sep|unk|mask|cls|im|text|image|video|audio)(?:_\w+)?_id",
    ),
    "training": WithoutEffect(
        reason="initial values, losses, noise and dropout of training",
        keys=frozenset(
            {
                "initializer_range", "initializer_factor", "init_method", "rescale_prenorm_residual",
                "router_aux_loss_coef", "aux_loss_alpha", "seq_aux", "router_z_loss_coef", "moe_loss_weight",
                "router_jitter_noise", "input_jitter_noise", "moe_jitter_eps", "gradient_checkpointing",
                "moe_capacity", "capacity_factor", "moe_random_routing_dropped_token", "use_mtp",
                "load_balance_coeff", "moe_router_bias_update_speed", "ignore_index",
            }
        ),
        pattern=r"\w*dropout\w*|\w+_pdrop|\w*aux_loss\w*|\w*z_loss\w*",
    ),
    "sampling": WithoutEffect(
        reason="defaults of text generation, which transformers 4 writes into nested configs",
        keys=frozenset(
            {
                "temperature", "top_p", "typical_p", "min_p", "epsilon_cutoff", "eta_cutoff", "repetition_penalty",
                "length_penalty", "diversity_penalty", "encoder_no_repeat_ngram_size", "no_repeat_ngram_size",
                "max_length", "min_length", "max_new_tokens", "min_new_tokens", "num_beams", "num_beam_groups",
                "num_return_sequences", "do_sample", "early_stopping", "output_scores",
                "return_dict_in_generate", "exponential_decay_length_penalty", "suppress_tokens",
                "begin_suppress_tokens", "bad_words_ids", "remove_invalid_values", "penalty_alpha",
            }
        ),
    ),
    "cache": WithoutEffect(
        reason="how many positions are kept and meant, and whether; mlx-lm's cache grows as it has to",
        keys=frozenset(
            {"use_cache", "max_position_embeddings", "model_max_length", "max_seq_len", "max_window_layers"}
        ),
    ),
    "kernels": WithoutEffect(
        reason="which kernels compute the same sums, in which precision",
        keys=frozenset(
            {
                "attn_implementation", "experts_implementation", "use_grouped_mm", "use_mamba_kernels",
                "use_mambapy", "use_associative_scan", "moe_shared_expert_overlap", "residual_in_fp32",
                "mamba_ssm_dtype", "mamba_ssm_cache_dtype", "use_flash_attn", "use_flash_attention",
                "moe_grouped_gemm", "use_fused_rms_norm", "use_fused_rope",
                "enable_moe_fp32_combine", "enable_lm_head_fp32", "enable_attention_fp32_softmax",
            }
        ),
    ),
    "heads that predict further tokens": WithoutEffect(
        reason="the heads are left out by name and with the reason",
        pattern=r"(?:\w+_)?(?:mtp|nextn)(?:_\w+)?",
    ),
    "towers": WithoutEffect(
        reason="parts for images, video and sound beside the text decoder",
        keys=frozenset(
            {
                "merged_hidden_size", "process_image_mode", "anyres_pooling_size", "anyres_vit_two_views",
                "num_media_embeds", "skip_cls_token", "position_id_per_seconds",
                "enable_audio_output", "spatial_merge_size", "temporal_merge_size",
                "projection_hidden_size", "projection_layer_norm_eps",
            }
        ),
        pattern=r"(?:image|img|video|vision|visual|audio|vit|projector|multimodal_projector|bo[aiv]|eo[aiv])_\w*",
    ),
}  # fmt: skip
_NAMES: Mapping[str, str] = {key: name for name, group in GROUPS.items() for key in group.keys}
_PATTERNS = tuple((re.compile(group.pattern), name) for name, group in GROUPS.items() if group.pattern)


def group_of(key: str) -> str | None:
    """Return the name of the group that `key` stands in, or None where its value can change the function."""
    return _NAMES.get(key) or next((name for pattern, name in _PATTERNS if pattern.fullmatch(key)), None)
