"""Reference models of Kimi (Moonshot AI); rows.py says what a row means."""

from dataclasses import replace
from typing import Any

from tests.reference.rows import (
    COMMON,
    DECIDED,
    DEFAULT_ROPE,
    EPSILON,
    GROUPS,
    LATENT,
    SIGMOID_CHOICE,
    SIGMOID_ROUTER,
    TEXT,
    YARN,
    Family,
    Model,
)

DECODER: dict[str, Any] = TEXT | SIGMOID_ROUTER | LATENT | {"model_type": "deepseek_v3"}
# As published, but for the factor: yarn with equal scales, which leave attention as it is.
KIMI_YARN: dict[str, Any] = {
    "max_position_embeddings": 4096,
    "rope_parameters": {key: value for key, value in YARN.items() if key != "truncate"}
    | {"factor": 64.0, "mscale": 1.0, "mscale_all_dim": 1.0},
}
TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_size": 2,
    "pos_emb_height": 2,
    "pos_emb_width": 2,
    "pos_emb_time": 1,
}
IN_WRAPPER: dict[str, Any] = {
    "text_config": DECODER,
    "vision_config": TOWER,
    "projection_hidden_size": 16,
    "tie_word_embeddings": False,
}
# transformers renames the text's layers to blocks along with the tower's; the Hub has layers.
BLOCKS = (r"^(language_model\.model)\.blocks\.", r"\1.layers.")
WRAPPED_DECIDED: dict[str, Any] = {
    "text_config": DECODER
    | {"rope_parameters": DEFAULT_ROPE, "norm_topk_prob": False, "routed_scaling_factor": 1.0}
}
WRAPPED_GROUPS = replace(GROUPS, changes={"text_config": {**DECODER, **GROUPS.changes}})
WRAPPED_YARN = Model(
    name="yarn",
    forms=("hub",),
    changes={"text_config": DECODER | KIMI_YARN},
    remarks=("yarn by 64, as published",),
)


def in_moonvit(config: dict[str, Any]) -> dict[str, Any]:
    """Kimi-VL's config.json, of a vendor's code for transformers 4."""
    return {
        "architectures": ["KimiVLForConditionalGeneration"],
        "ignore_index": -100,
        "media_placeholder_token_id": 126,
        "text_config": config,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vision_config": {"model_type": "moonvit", "hidden_size": 16, "num_hidden_layers": 1, "patch_size": 2},
    }


FAMILIES = (
    Family(
        model_type="kimi_k25",
        auto_class="AutoModelForImageTextToText",
        config=IN_WRAPPER,
        names=(BLOCKS, (r"^model\.mm_projector\.", "mm_projector.")),
        added=SIGMOID_CHOICE,
        replaced={"model_type": "kimi_k2"},
        unread=("model_type",),
        rope_kind="type",
        matters=WRAPPED_DECIDED,
        remarks=("DeepSeek-V3 inside a model that sees: K2.5, K2.6, K2.7",),
        models=(
            Model(name="base", forms=("orig", "v5", "hub", "saved", "bf16", "int4")),
            WRAPPED_GROUPS,
            WRAPPED_YARN,
        ),
    ),
    Family(
        model_type="kimi_vl",
        built_as="deepseek_v3",
        config=COMMON | SIGMOID_ROUTER | LATENT,
        names=((r"^", "language_model."),),
        vendor=in_moonvit,
        matters=DECIDED,
        remarks=("DeepSeek-V3 inside a model that sees",),
        models=(
            Model(name="base", forms=("orig", "bf16")),
            replace(GROUPS, forms=("orig",)),
            Model(
                name="plain_query",
                forms=("orig",),
                changes=KIMI_YARN | {"q_lora_rank": None},
                remarks=("no low-rank query, as in Kimi-VL-A3B; yarn",),
            ),
        ),
    ),
    Family(
        model_type="kimi_k2",
        built_as="deepseek_v3",
        config=COMMON | SIGMOID_ROUTER | LATENT,
        added=SIGMOID_CHOICE,
        rope_kind="type",
        matters=DECIDED,
        remarks=("the same class as deepseek_v3 under another name",),
        models=(Model(name="base", forms=("orig", "v5", "hub", "int4")),),
    ),
    Family(
        model_type="kimi_linear",
        config={key: value for key, value in COMMON.items() if key != "rope_parameters"}
        | {k: v for k, v in SIGMOID_ROUTER.items() if k not in {"first_k_dense_replace", "n_routed_experts"}}
        | LATENT
        | {
            "q_lora_rank": None,
            "num_local_experts": 8,
            "linear_head_dim": 64,
            "linear_num_heads": 2,
            "layer_types": ["linear_attention", "full_attention", "linear_attention"],
            "mlp_layer_types": ["dense", "sparse", "sparse"],
            "pad_token_id": 0,
        },
        matters={"routed_scaling_factor": 1.0, "norm_topk_prob": False},
        models=(Model(name="base", forms=("orig", "v5")), replace(GROUPS, forms=("orig",)), EPSILON),
    ),
)
