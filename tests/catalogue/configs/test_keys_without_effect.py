"""Keys about bookkeeping, tokens, training, sampling, cache, kernels, further heads and towers, by family."""

from typing import Any

import pytest

from hubbot.catalogue.configs.acting_keys import ACTING, REPEATED
from hubbot.catalogue.configs.conditions import CONDITIONS
from hubbot.catalogue.configs.keys_without_effect import GROUPS, group_of
from hubbot.catalogue.configs.statements import STATEMENTS
from hubbot.catalogue.families import FAMILIES, Family
from tests.catalogue.configs.resolving import config_of, resolve

# What PretrainedConfig.to_dict of transformers 4.57 writes into a config that stands inside another.
WRITTEN_BY_TRANSFORMERS_4: dict[str, Any] = {
    "return_dict": True, "output_hidden_states": False, "torchscript": False, "use_bfloat16": False,
    "tf_legacy_loss": False, "pruned_heads": {}, "chunk_size_feed_forward": 0, "is_encoder_decoder": False,
    "is_decoder": False, "cross_attention_hidden_size": None, "add_cross_attention": False,
    "tie_encoder_decoder": False, "max_length": 20, "min_length": 0, "do_sample": False, "early_stopping": False,
    "num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "temperature": 1.0, "top_k": 50, "top_p": 1.0,
    "typical_p": 1.0, "repetition_penalty": 1.0, "length_penalty": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "bad_words_ids": None, "num_return_sequences": 1, "output_scores": False,
    "return_dict_in_generate": False, "forced_bos_token_id": None, "forced_eos_token_id": None,
    "remove_invalid_values": False, "exponential_decay_length_penalty": None, "suppress_tokens": None,
    "begin_suppress_tokens": None, "finetuning_task": None, "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "tokenizer_class": None, "prefix": None, "sep_token_id": None,
    "decoder_start_token_id": None, "task_specific_params": None, "problem_type": None, "_name_or_path": "",
    "_attn_implementation_autoset": True, "output_attentions": False, "torch_dtype": "bfloat16",
}  # fmt: skip
# Of vendors and trainers, whatever their values.
OTHERS: dict[str, Any] = {
    "num_nextn_predict_layers": 1, "mtp_loss_scaling_factor": 0.1, "use_mtp": True,
    "index_share_for_mtp_iteration": True,
    "hidden_dropout": 0.1, "expert_dropout": 0.0, "router_aux_loss_coef": 0.7, "moe_capacity": [64, 64],
    "use_grouped_mm": True, "experts_implementation": "eager", "image_token_id": 5, "vision_feature_layer": -2,
    "projector_hidden_act": "gelu", "multimodal_projector_bias": True, "img_token_compression_config": {"a": 1},
    "eod_token_id": 3, "im_start_id": 4, "max_window_layers": 28, "unsloth_fixed": True, "quantization_config": {},
    "auto_map": {"AutoModel": "x.Y"}, "transformers_version": "4.57.1",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_they_are_no_problem_in_any_family(family: Family) -> None:
    config = config_of(family)
    inner = config.get("text_config")
    for extra in (WRITTEN_BY_TRANSFORMERS_4, OTHERS):
        held = {**extra, **(inner if isinstance(inner, dict) else config)}  # the family's own values stand
        assert resolve({**config, "text_config": held} if isinstance(inner, dict) else held).problems == ()


def test_no_key_without_effect_has_a_row_that_says_when_it_acts() -> None:
    assert [key for key in {**STATEMENTS, **CONDITIONS, **ACTING, **REPEATED} if group_of(key)] == []


@pytest.mark.parametrize(
    "key",
    [
        "sliding_window", "num_experts_per_tok", "chunk_size", "swa_layer_ids", "expert_ids",
        "mtpx", "attention_bias", "rope_theta", "clip_qkv", "token_shift", "head_id_scale", "use_audio",
        "routing_bias",
    ],
)  # fmt: skip
def test_names_that_only_resemble_them_are_not_taken_for_them(key: str) -> None:
    assert group_of(key) is None


def test_every_group_gives_its_reason() -> None:
    for group in GROUPS.values():
        assert len(group.reason) > 20
        assert group.keys or group.pattern
