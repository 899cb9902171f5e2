"""Reference models of inclusionAI (Ant Group); rows.py says what a row means."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.reference.rows import COMMON, DEFAULT_ROPE, EPSILON, GROUPS, LATENT, SIGMOID_ROUTER, Family, Model, rope


def ling(config: dict[str, Any]) -> dict[str, Any]:
    """The config.json of Ling and Ring 2.0, of the vendor's own code."""
    kept = (
        "attention_dropout", "eos_token_id", "first_k_dense_replace", "head_dim", "hidden_act", "hidden_size",
        "intermediate_size", "max_position_embeddings", "moe_intermediate_size", "n_group", "norm_topk_prob",
        "num_attention_heads", "num_experts_per_tok", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps",
        "routed_scaling_factor", "tie_word_embeddings", "topk_group", "use_cache", "use_qk_norm", "vocab_size",
    )  # fmt: skip
    rope = config["rope_parameters"]
    return {key: config[key] for key in kept} | {
        "architectures": ["BailingMoeV2ForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_bailing_moe_v2.BailingMoeV2ForCausalLM"},
        "embedding_dropout": 0.0,
        "moe_router_enable_expert_bias": True,
        "moe_shared_expert_intermediate_size": config["moe_intermediate_size"],
        "mtp_loss_scaling_factor": 0,
        "num_experts": config["n_routed_experts"],
        "num_nextn_predict_layers": 0,
        "num_shared_experts": config["n_shared_experts"],
        "output_dropout": 0.0,
        "partial_rotary_factor": rope["partial_rotary_factor"],
        "rope_scaling": None,
        "rope_theta": rope["rope_theta"],
        "router_dtype": "fp32",
        "score_function": "sigmoid",
        "torch_dtype": "bfloat16",
        "use_bias": False,
        "use_qkv_bias": config["attention_bias"],
        "use_rmsnorm": True,
    }


def ling_lite(config: dict[str, Any]) -> dict[str, Any]:
    """The config.json of Ling 1.x, of the vendor's own code."""
    kept = (
        "attention_dropout", "eos_token_id", "hidden_act", "hidden_size", "max_position_embeddings",
        "num_attention_heads", "num_experts_per_tok", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps",
        "tie_word_embeddings", "use_cache", "vocab_size",
    )  # fmt: skip
    return {key: config[key] for key in kept} | {
        "architectures": ["BailingMoeForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_bailing_moe.BailingMoeForCausalLM"},
        "embedding_dropout": 0.0,
        "first_k_dense_replace": 0,
        "head_dim": config["hidden_size"] // config["num_attention_heads"],
        "intermediate_size": 320,
        "moe_intermediate_size": config["intermediate_size"],
        "norm_head": False,
        "norm_softmax": False,
        "norm_topk_prob": True,
        "num_experts": config["num_local_experts"],
        "num_shared_experts": 2,
        "output_dropout": 0.0,
        "rope_scaling": None,
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "torch_dtype": "bfloat16",
        "use_bias": False,
        "use_qkv_bias": False,
    }


def lings_tensors(shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    """Ling 1.x's tensors, cut from the parameters of GraniteMoeShared: the function is the same."""
    views: dict[str, Any] = {}
    for name, shape in shapes.items():
        stem, _, part = name.rpartition(".block_sparse_moe.experts.")
        if part == "gate_up_proj":
            cut_experts(views, name, f"{stem}.mlp.experts", shape, ("gate_proj", "up_proj"))
        elif part == "down_proj":
            cut_experts(views, name, f"{stem}.mlp.experts", shape, ("down_proj",))
        elif name.endswith("shared_mlp.input_linear.weight"):
            layer, width = name.removesuffix("shared_mlp.input_linear.weight"), shape[0] // 2
            for number, projection in enumerate(("gate_proj", "up_proj")):
                tensor = f"{layer}mlp.shared_experts.{projection}.weight"
                views[tensor] = matrix(name, number * width * shape[1], [width, shape[1]])
        elif name.endswith("q_proj.weight"):
            joined = [name.replace("q_proj", f"{one}_proj") for one in "qkv"]
            rows = sum(shapes[one][0] for one in joined)
            parts = [matrix(one, 0, shapes[one]) for one in joined]
            tensor = name.replace("self_attn.q_proj", "attention.query_key_value")
            views[tensor] = {"shape": [rows, shape[1]], "parts": parts}
        elif not name.endswith(("k_proj.weight", "v_proj.weight")):
            views[lings_name(name)] = {"from": name} if lings_name(name) != name else {}
    return dict(sorted(views.items()))


def lings_name(name: str) -> str:
    """What Ling 1.x calls a whole parameter."""
    for ours, theirs in (
        ("model.embed_tokens.", "model.word_embeddings."),
        (".self_attn.o_proj.", ".attention.dense."),
        (".block_sparse_moe.router.", ".mlp.gate."),
        (".shared_mlp.output_linear.", ".mlp.shared_experts.down_proj."),
    ):
        name = name.replace(ours, theirs)
    return name


def cut_experts(
    views: dict[str, Any], name: str, home: str, shape: list[int], projections: tuple[str, ...]
) -> None:
    """One tensor an expert and projection, of a stack [experts, projections one below the other]."""
    experts, rows, columns = shape
    rows //= len(projections)
    for expert in range(experts):
        for number, projection in enumerate(projections):
            start = (expert * len(projections) + number) * rows * columns
            views[f"{home}.{expert}.{projection}.weight"] = matrix(name, start, [rows, columns])


def matrix(name: str, start: int, shape: list[int]) -> dict[str, Any]:
    """The matrix that begins at an element of a parameter."""
    return {"from": name, "offset": start, "shape": shape, "strides": [shape[1], 1]}


FAMILIES = (
    Family(
        model_type="bailing_moe",
        built_as="sarvam_moe",
        config=COMMON
        | SIGMOID_ROUTER
        | {"head_dim": 32, "use_qk_norm": True, "rope_parameters": rope(partial_rotary_factor=0.5)},
        vendor=ling,
        matters={
            "norm_topk_prob": False,
            "routed_scaling_factor": 1.0,
            "rope_parameters": rope(partial_rotary_factor=1.0),
        },
        remarks=("Ling and Ring; transformers' sarvam_moe has the same function and names",),
        models=(
            Model(name="base", forms=("orig", "bf16", "fp8", "mtp")),
            replace(GROUPS, forms=("orig",)),
            Model(
                name="tied",
                forms=("orig",),
                changes={"tie_word_embeddings": True, "attention_bias": True, "use_qk_norm": False},
                remarks=("tied, biases of queries, keys and values, no norms of queries and keys",),
            ),
            Model(
                name="first",
                forms=("orig",),
                built_as="granitemoeshared",
                vendor=ling_lite,
                layout=lings_tensors,
                omitted=(
                    *(SIGMOID_ROUTER.keys() - COMMON.keys() - {"num_experts_per_tok", "intermediate_size"}),
                    "head_dim",
                    "use_qk_norm",
                ),
                changes={
                    "intermediate_size": 64,
                    "shared_intermediate_size": 128,
                    "num_local_experts": 8,
                    "attention_multiplier": 32**-0.5,
                    "rope_parameters": rope(),
                },
                remarks=("Ling 1.x: softmax routing, two shared experts; GraniteMoeShared has the same function",),
            ),
        ),
    ),
    Family(
        model_type="bailing_hybrid",
        config=COMMON
        | SIGMOID_ROUTER
        | {key: value for key, value in LATENT.items() if key != "q_lora_rank"}
        | {
            "n_routed_experts": None,
            "num_local_experts": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "layer_group_size": 2,
            "num_hidden_layers": 4,
            "num_mtp_layers": 0,
            "pad_token_id": 0,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0, "kda_lower_bound": -2.0},
        models=(Model(name="base", forms=("orig", "v5")), replace(GROUPS, forms=("orig",)), EPSILON),
    ),
)
