"""Reference models of Qwen (Alibaba); rows.py says what a row means."""

from dataclasses import replace
from typing import Any

from tests.reference.rows import ALL_FORMS, COMMON, DEFAULT_ROPE, LAYOUT_FORMS, TEXT, TIED, Family, Model, rope

GATED_DELTA: dict[str, Any] = {
    "head_dim": 32,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "layer_types": ["linear_attention", "full_attention"],
    "rope_parameters": rope(partial_rotary_factor=0.25, mrope_section=[2, 1, 1], mrope_interleaved=True),
}
QWEN_VISION: dict[str, Any] = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "patch_size": 2,
    "out_hidden_size": 128,
    "num_position_embeddings": 4,
}
QWEN_EXPERTS: dict[str, Any] = {
    "head_dim": 32,
    "intermediate_size": 320,
    "moe_intermediate_size": 192,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "rope_parameters": rope(mrope_section=[8, 4, 4], mrope_interleaved=True),
}

OMNI: dict[str, Any] = {
    "text_config": TEXT
    | {
        "head_dim": 32,
        "intermediate_size": 320,
        "moe_intermediate_size": 64,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "rope_parameters": rope(mrope_section=[8, 4, 4], mrope_interleaved=True),
    },
    "vision_config": QWEN_VISION | {"deepstack_visual_indexes": [0]},
    "audio_config": {
        "num_mel_bins": 8,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "d_model": 16,
        "output_dim": 128,
        "downsample_hidden_size": 4,
        "n_window": 4,
        "max_source_positions": 16,
    },
}
OMNI_DECIDED: dict[str, Any] = {
    "text_config": OMNI["text_config"] | {"norm_topk_prob": False, "rope_parameters": DEFAULT_ROPE}
}


def with_a_voice(config: dict[str, Any]) -> dict[str, Any]:
    """Qwen3-Omni's whole config.json: the thinker inside, beside the talker and what makes its words sound."""
    return {
        "architectures": ["Qwen3OmniMoeForConditionalGeneration"],
        "assistant_token_id": 77091,
        "code2wav_config": {"model_type": "qwen3_omni_moe_code2wav", "hidden_size": 16, "num_hidden_layers": 1},
        "dtype": config["dtype"],
        "enable_audio_output": True,
        "talker_config": {
            "model_type": "qwen3_omni_moe_talker",
            "text_config": {"hidden_size": 16, "num_experts": 4, "num_hidden_layers": 1, "norm_topk_prob": False},
        },
        "thinker_config": config,
        "transformers_version": config["transformers_version"],
        "tts_eos_token_id": 151673,
    }


FAMILIES = (
    Family(
        model_type="qwen3_omni_moe",
        built_as="qwen3_omni_moe_thinker",
        auto_class="Qwen3OmniMoeThinkerForConditionalGeneration",
        config=OMNI,
        names=((r"^", "thinker."),),
        vendor=with_a_voice,
        matters=OMNI_DECIDED,
        models=(Model(name="base", forms=("orig", "bf16")),),
    ),
    Family(
        model_type="qwen3_omni_moe_thinker",
        auto_class="Qwen3OmniMoeThinkerForConditionalGeneration",
        config=OMNI,
        matters=OMNI_DECIDED,
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            Model(
                name="some_dense",
                forms=("orig",),
                changes={
                    "text_config": OMNI["text_config"]
                    | {"num_hidden_layers": 3, "mlp_only_layers": [1], "num_key_value_heads": 4, "head_dim": 64}
                },
                remarks=("a dense layer in the middle, heads wider than hidden size / heads",),
            ),
        ),
    ),
    Family(
        model_type="qwen3_moe",
        config=COMMON
        | {
            "hidden_size": 64,
            "head_dim": 32,
            "intermediate_size": 320,
            "moe_intermediate_size": 128,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "norm_topk_prob": True,
        },
        renamed={"num_local_experts": "num_experts"},
        added={"max_window_layers": 2},
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "num_experts_per_tok": 2},
        remarks=("head_dim * heads differs from hidden_size",),
        models=(
            Model(name="base", forms=(*ALL_FORMS, "fp8", "fp8_ragged", "fp8_fused", "fp8_channel", "int4")),
            TIED,
            Model(
                name="raw_top_k",
                forms=("orig", "hub"),
                changes={"norm_topk_prob": False},
                remarks=("router weights are not renormalised",),
            ),
            Model(
                name="dense_layers",
                forms=LAYOUT_FORMS,
                changes={
                    "num_hidden_layers": 4,
                    "num_experts": 4,
                    "num_experts_per_tok": 2,
                    "moe_intermediate_size": 64,
                    "hidden_size": 96,
                    "decoder_sparse_step": 2,
                    "mlp_only_layers": [1],
                },
                remarks=(
                    "layers 0 and 2 are dense by decoder_sparse_step, 1 by mlp_only_layers; only 3 has experts",
                ),
            ),
            Model(
                name="half_square",
                forms=LAYOUT_FORMS,
                changes={"hidden_size": 128, "moe_intermediate_size": 64, "num_experts": 4},
                remarks=("2I == H: gate_up_proj is square",),
            ),
            Model(
                name="square",
                forms=LAYOUT_FORMS,
                changes={"moe_intermediate_size": 64, "num_experts": 4},
                remarks=("I == H: down_proj is square",),
            ),
            Model(
                name="default_head_dim",
                forms=("orig",),
                changes={"hidden_size": 128, "num_experts": 4},
                omitted=("head_dim",),
                remarks=("config.json has no head_dim: it is hidden_size / heads",),
            ),
        ),
    ),
    Family(
        model_type="qwen2_moe",
        config=COMMON
        | {
            "intermediate_size": 320,
            "moe_intermediate_size": 128,
            "shared_expert_intermediate_size": 192,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "norm_topk_prob": False,
        },
        dropped=("layer_types", "qkv_bias"),
        matters={"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": True},
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "bf16")),
            Model(
                name="renormalised",
                forms=("hub",),
                changes={"norm_topk_prob": True},
                expected="refuse",
                remarks=("stock mlx-lm ignores norm_topk_prob: silently wrong",),
            ),
            replace(TIED, forms=("orig",)),
        ),
    ),
    Family(
        model_type="qwen3_next",
        config=COMMON
        | {
            "head_dim": 32,
            "intermediate_size": 320,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
            "layer_types": ["linear_attention", "full_attention"],
            "rope_parameters": rope(partial_rotary_factor=0.25),
        },
        added={"full_attention_interval": 2},
        dropped=("layer_types",),
        matters={"rope_parameters": rope(partial_rotary_factor=1.0), "norm_topk_prob": False},
        remarks=("norms are stored less one: 1 is added once, in float32",),
        models=(Model(name="base", forms=(*LAYOUT_FORMS, "bf16", "fp8")),),
    ),
    Family(
        model_type="qwen3_5_moe_text",
        config=COMMON | GATED_DELTA,
        added={"full_attention_interval": 2},
        dropped=("layer_types",),
        matters={"rope_parameters": rope(partial_rotary_factor=1.0), "num_experts_per_tok": 3},
        remarks=("norms are stored less one: 1 is added once, in float32",),
        models=(Model(name="base", forms=("orig", "v5", "bf16", "fp8")),),
    ),
    Family(
        model_type="qwen3_vl_moe",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": TEXT | QWEN_EXPERTS,
            "vision_config": QWEN_VISION | {"deepstack_visual_indexes": [0]},
            "tie_word_embeddings": False,
        },
        matters={"text_config": TEXT | QWEN_EXPERTS | {"rope_parameters": DEFAULT_ROPE}},
        models=(
            Model(name="base", forms=("orig", "v5", "bf16", "transposed", "fp8")),
            Model(
                name="half_square",
                forms=("orig", "v5", "transposed"),
                changes={"text_config": TEXT | QWEN_EXPERTS | {"moe_intermediate_size": 64}},
                remarks=("2I == H: gate_up_proj is square",),
            ),
            Model(
                name="square",
                forms=("orig", "v5", "transposed"),
                changes={"text_config": TEXT | QWEN_EXPERTS | {"moe_intermediate_size": 128}},
                remarks=("I == H: down_proj is square",),
            ),
        ),
    ),
    Family(
        model_type="qwen3_5_moe",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": TEXT | GATED_DELTA,
            "vision_config": QWEN_VISION,
            "tie_word_embeddings": False,
        },
        matters={"text_config": TEXT | GATED_DELTA | {"num_experts_per_tok": 3}},
        remarks=("norms are stored less one: 1 is added once, in float32",),
        models=(Model(name="base", forms=("orig", "v5", "bf16", "fp8", "fp8_fused")),),
    ),
)
