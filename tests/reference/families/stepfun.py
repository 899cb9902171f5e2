"""Reference models of StepFun; rows.py says what a row means."""

from typing import Any

from tests.reference.rows import COMMON, LLAMA3_ROPE, Family, Model, rope

TEXT: dict[str, Any] = {
    **{key: value for key, value in COMMON.items() if key not in {"tie_word_embeddings", "rope_parameters"}},
    "num_hidden_layers": 4,
    "head_dim": 32,
    "intermediate_size": 320,
    "moe_intermediate_size": 64,
    "share_expert_dim": 64,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_router_scaling_factor": 1.75,
    "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    "sliding_window": 16,
    "num_sliding_attention_heads": 6,
    "swiglu_limits": [None, None, 0.7, None],
    "swiglu_limits_shared": [0.6, None, None, 0.5],
    "pad_token_id": 0,
    "rope_parameters": {
        "full_attention": rope(partial_rotary_factor=0.5),
        "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0},
    },
}
SCALED: dict[str, Any] = TEXT | {
    "max_position_embeddings": 2048,
    "rope_parameters": {
        "full_attention": LLAMA3_ROPE["rope_parameters"] | {"partial_rotary_factor": 0.5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0},
    },
}
WRAPPER: dict[str, Any] = {
    "text_config": TEXT,
    "vision_config": {
        "hidden_size": 16,
        "mlp_ratio": 1.0,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 2,
        "image_size": 8,
    },
}
MATTERS: dict[str, Any] = {"text_config": TEXT | {"moe_router_scaling_factor": 1.0, "swiglu_limits": None}}
HEADS = 2


def step(config: dict[str, Any]) -> dict[str, Any]:
    """The config.json of Step-3.5-Flash, of the vendor's own code: lists by layer go on for the heads beyond."""
    text = config["text_config"]
    kinds = text["layer_types"] + ["sliding_attention"] * HEADS
    ropes = text["rope_parameters"]
    full = ropes["full_attention"]
    scaling = {key: value for key, value in full.items() if key not in {"rope_theta", "partial_rotary_factor"}}
    same = (
        "head_dim", "hidden_size", "intermediate_size", "max_position_embeddings", "moe_intermediate_size",
        "moe_router_scaling_factor", "num_attention_heads", "num_hidden_layers", "rms_norm_eps",
        "share_expert_dim",
        "sliding_window", "vocab_size", "bos_token_id", "eos_token_id",
    )  # fmt: skip
    groups = {"num_attention_groups": text["num_key_value_heads"]}
    return {key: text[key] for key in same} | {
        "architectures": ["Step3p5ForCausalLM"],
        "att_impl_type": "GQA",
        "attention_other_setting": {
            "attention_type": "sliding_attention",
            "num_attention_heads": text["num_sliding_attention_heads"],
            "head_dim": text["head_dim"],
            **groups,
        },
        "auto_map": {"AutoModelForCausalLM": "modeling_step3p5.Step3p5ForCausalLM"},
        "layer_types": kinds,
        "moe_every_n_layer": 1,
        "moe_layer_offset": 0,
        "moe_layers_enum": ",".join(str(n) for n, kind in enumerate(text["mlp_layer_types"]) if kind == "sparse"),
        "moe_num_experts": text["n_routed_experts"],
        "moe_router_activation": "sigmoid",
        "moe_top_k": text["num_experts_per_tok"],
        "need_fp32_gate": True,
        "norm_expert_weight": True,
        "num_nextn_predict_layers": HEADS,
        "partial_rotary_factors": [ropes[kind].get("partial_rotary_factor", 1.0) for kind in kinds],
        "rope_scaling": scaling if scaling["rope_type"] != "default" else None,
        "rope_theta": [ropes[kind]["rope_theta"] for kind in kinds],
        "swiglu_limits": [limit or 0.0 for limit in text["swiglu_limits"] + [None] * HEADS],
        "swiglu_limits_shared": [limit or 0.0 for limit in text["swiglu_limits_shared"] + [None] * HEADS],
        "torch_dtype": "bfloat16",
        "use_head_wise_attn_gate": True,
        "use_moe": True,
        "use_moe_router_bias": True,
        "use_qk_norm": True,
        "yarn_only_types": ["full_attention"],
        "zero_centered": True,
        **groups,
    }


FAMILIES = (
    Family(
        model_type="step3p5",
        built_as="step3p7",
        auto_class="AutoModelForImageTextToText",
        config=WRAPPER,
        names=((r"^vi(?:sion_model|t_large_projector)\..*", ""),),
        vendor=step,
        matters=MATTERS,
        remarks=("the text of Step-3.7-Flash under a config.json of its own; norms are stored less one",),
        models=(
            Model(name="base", forms=("orig", "bf16", "fp8")),
            Model(name="llama3", forms=("orig",), changes={"text_config": SCALED}),
        ),
    ),
    Family(
        model_type="step3p7",
        auto_class="AutoModelForImageTextToText",
        config=WRAPPER,
        matters=MATTERS,
        remarks=("norms are stored less one: 1 is added once, in float32",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16", "fp8")),
            Model(
                name="llama3",
                forms=("orig",),
                changes={"text_config": SCALED | {"num_sliding_attention_heads": 4}},
                remarks=("scaling of rope in the layers with full attention alone",),
            ),
        ),
    ),
)
