"""Rows of the table: text decoders inside models that also see, with the smallest vision tower there is.

Split from families.py for length only; the same rules hold. The tower is never run: it must be dropped.
"""

from typing import Any

from tests.reference.hybrid_families import GATED_DELTA
from tests.reference.rows import COMMON, DEFAULT_ROPE, Family, Model, rope
from tests.reference.windowed_families import WINDOWED_FAMILIES

TEXT: dict[str, Any] = {key: value for key, value in COMMON.items() if key != "tie_word_embeddings"}
ROWS = {family.model_type: family for family in WINDOWED_FAMILIES}
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

VISION_FAMILIES = (
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
    Family(
        model_type="llama4",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": dict(ROWS["llama4_text"].config),
            "vision_config": {
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "vision_output_dim": 16,
                "image_size": 8,
                "patch_size": 2,
                "projector_input_dim": 16,
                "projector_output_dim": 16,
            },
            "tie_word_embeddings": False,
        },
        matters={"text_config": {**ROWS["llama4_text"].config, "attn_scale": 0.1}},
        models=(Model(name="base", forms=("orig", "bf16")),),
    ),
    Family(
        model_type="gemma4",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": dict(ROWS["gemma4_text"].config),
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "patch_size": 2,
                "position_embedding_size": 4,
            },
            "audio_config": None,
            "tie_word_embeddings": True,
        },
        matters={"text_config": {**ROWS["gemma4_text"].config, "final_logit_softcapping": None}},
        models=(Model(name="base", forms=("orig", "v5")),),
    ),
    Family(
        model_type="minimax_m3_vl",
        auto_class="AutoModelForImageTextToText",
        config={
            "text_config": TEXT
            | {
                "num_hidden_layers": 3,
                "head_dim": 32,
                "rotary_dim": 16,
                "intermediate_size": 64,
                "dense_intermediate_size": 320,
                "shared_intermediate_size": 64,
                "num_local_experts": 6,
                "num_experts_per_tok": 2,
                "routed_scaling_factor": 1.75,
                "swiglu_alpha": 1.3,
                "swiglu_limit": 2.0,
                "rope_parameters": rope(partial_rotary_factor=0.5),
                "mlp_layer_types": ["dense", "sparse", "sparse"],
                "layer_types": ["full_attention", "minimax_m3_sparse", "full_attention"],
                "index_n_heads": 2,
                "index_head_dim": 32,
                "index_block_size": 4,
                "index_topk_blocks": 2,
                "index_local_blocks": 1,
            },
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 8,
                "patch_size": 2,
            },
            "projector_hidden_size": 16,
        },
        matters={},
        models=(Model(name="base", forms=("orig", "v5", "bf16")),),
    ),
)
