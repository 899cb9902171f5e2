"""Reference models of Sarvam AI; rows.py says what a row means."""

from dataclasses import replace
from typing import Any

from tests.reference.rows import (
    COMMON,
    DECIDED,
    DEFAULT_ROPE,
    GROUPS,
    LATENT,
    SIGMOID_ROUTER,
    YARN,
    Family,
    Model,
    rope,
)


def as_published(config: dict[str, Any]) -> dict[str, Any]:
    """Sarvam-105B's config.json, of the vendor's code: yarn under DeepSeek's name, vLLM's width of a head."""
    scaling = {
        key: value for key, value in config["rope_parameters"].items() if key not in {"rope_theta", "rope_type"}
    }
    old = {
        "num_experts": config["n_routed_experts"],
        "num_shared_experts": config["n_shared_experts"],
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "rope_scaling": {**scaling, "type": "deepseek_yarn"},
        "head_dim": config["kv_lora_rank"] + config["qk_rope_head_dim"],
        "q_head_dim": config["qk_nope_head_dim"] + config["qk_rope_head_dim"],
    }
    gone = {"n_routed_experts", "n_shared_experts", "rope_parameters", "qk_head_dim"}
    return {key: value for key, value in config.items() if key not in gone} | old


FAMILIES = (
    Family(
        model_type="sarvam_moe",
        config=COMMON | SIGMOID_ROUTER | {"head_dim": 32, "use_qk_norm": True},
        matters={**DECIDED, "rope_parameters": rope(partial_rotary_factor=0.5)},
        remarks=("the decoder of GLM-4.5 under the names of Ling; queries, keys and values in one tensor",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            replace(GROUPS, forms=("orig",)),
            Model(
                name="biased",
                forms=("orig", "v5"),
                changes={"attention_bias": True, "use_qk_norm": False, "head_dim": 16},
                remarks=("biases of queries, keys and values; heads narrower than hidden size / heads",),
            ),
        ),
    ),
    Family(
        model_type="sarvam_mla",
        config=COMMON | SIGMOID_ROUTER | LATENT | {"q_lora_rank": None},
        matters={**DECIDED, "rope_parameters": DEFAULT_ROPE},
        remarks=("the class of DeepSeek-V3 without a low-rank query",),
        models=(
            Model(name="base", forms=("orig", "v5", "bf16")),
            replace(GROUPS, forms=("orig",)),
            Model(
                name="published",
                forms=("orig",),
                changes={
                    "max_position_embeddings": 2048,
                    "rope_parameters": {key: value for key, value in YARN.items() if key != "truncate"}
                    | {"mscale": 1.0, "mscale_all_dim": 1.0},
                },
                vendor=as_published,
            ),
        ),
    ),
)
