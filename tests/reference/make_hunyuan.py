"""Make the records of model type `hunyuan`, which transformers has no class for, with numpy alone.

    python -m tests.reference.make_hunyuan

The logits come from hunyuan_numpy.py. It knows how Hunyuan-Large and HunyuanVideo-PromptRewrite name their
tensors: per expert, fused (`qkv_proj`, `gate_and_up_proj`), or stacked by mlx-lm (`switch_mlp`).
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.reference import checkpoints, hunyuan_numpy

SEED = 20250
TOKENS = 24
STEPS = 6

# The keys of Hunyuan-Large's config.json, with small widths and values away from every default.
CONFIG: Mapping[str, Any] = {
    "architectures": ["HunYuanForCausalLM"], "model_type": "hunyuan", "torch_dtype": "float32",
    "transformers_version": "4.41.2", "use_cache": True, "initializer_range": 0.02, "attention_dropout": 0.1,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "capacity_factor": 1.0, "moe_drop_tokens": False,
    "moe_random_routing_dropped_token": False, "pretraining_tp": 1, "hidden_act": "silu", "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "attention_bias": False, "mlp_bias": False, "use_qk_norm": True,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "rope_theta": 51234.0,
    "rope_scaling": {"alpha": 50.0, "factor": 1.0, "type": "dynamic"}, "use_cla": True, "cla_share_factor": 2,
    "num_experts": 4, "moe_topk": 1, "use_mixed_mlp_moe": True, "num_shared_expert": 1,
    "tie_word_embeddings": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One checkpoint: config values changed from CONFIG, and how its tensors are named."""

    name: str
    naming: str
    remarks: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)


MODELS = (
    Made(name="base", naming="per-expert", remarks=("cross-layer attention; one expert keeps its weight",)),
    Made(
        name="renormalised",
        naming="per-expert",
        changes={
            "moe_topk": 2, "use_cla": False, "tie_word_embeddings": False, "attention_bias": True,
            "rope_scaling": None, "num_shared_expert": 2, "num_hidden_layers": 2,
        },
        remarks=("two experts a token are renormalised; biases in attention; no rope scaling",),
    ),
    Made(
        name="fused",
        naming="fused",
        changes={"attention_bias": True, "cla_share_factor": 3},
        remarks=("qkv_proj grouped by key-value head, gate_and_up_proj with the up rows first",),
    ),
    Made(name="stacked", naming="stacked", remarks=("experts as mlx-lm stacks them, router as PyTorch names it",)),
)  # fmt: skip


def main() -> None:
    """Write one JSON record a model and the logits of them all."""
    folder = checkpoints.RECORDS / "hunyuan"
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for made in MODELS:
        record, answers = record_of(made)
        (folder / f"{made.name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
        arrays |= answers
    np.savez(folder / "logits.npz", allow_pickle=False, **arrays)


def record_of(made: Made) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record of one model, and its logits by name."""
    config = {**CONFIG, **made.changes}
    parameters = dict(sorted(parameters_of(config, made.naming)))
    raw = np.random.PCG64(SEED).random_raw(TOKENS)
    ids = [int(value) % config["vocab_size"] for value in raw]
    form: dict[str, Any] = {
        "layout": "orig", "dtype": "F32", "float32": [], "reference": made.name, "config": config,
        "files": {"config.json": {}, "model.safetensors": {}},
    }  # fmt: skip
    record = {
        "model_type": "hunyuan", "model": made.name, "expected": "convert", "remarks": list(made.remarks),
        "seed": SEED, "ids": ids, "parameters": parameters, "layouts": {"orig": {name: {} for name in parameters}},
        "forms": {"orig": form},
    }  # fmt: skip
    for name, data in checkpoints.render(record, "orig").items():
        form["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()
    answers = {f"{made.name}.logits": answer(record, ids)}
    if made.name == "base":
        fed, steps = decode(record, ids)
        answers |= {"base.decode_ids": fed, "base.decode_logits": steps}
    return record, answers


def answer(record: Mapping[str, Any], ids: list[int]) -> np.ndarray:
    """Logits of one sequence, float32 [tokens, vocabulary]."""
    config = record["forms"]["orig"]["config"]
    values = checkpoints.parameter_values(record)
    return hunyuan_numpy.logits(config, hunyuan_numpy.unfused(config, values), ids)


def decode(record: Mapping[str, Any], ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Greedy steps, each a whole pass: the ids fed and the logits after each."""
    text, last = list(ids), answer(record, ids)[-1]
    steps = []
    for _ in range(STEPS):
        text.append(int(last.argmax()))
        last = answer(record, text)[-1]
        steps.append(last)
    return np.array(text[len(ids) :], np.int64), np.stack(steps)


def parameters_of(config: Mapping[str, Any], naming: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every tensor's name with its shape, mean and scale."""
    for name, shape in shapes(config, naming):
        yield name, {"shape": list(shape), **spread(name, shape, tied=config["tie_word_embeddings"])}


def shapes(config: Mapping[str, Any], naming: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor's name and shape under one of the three namings."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocabulary, hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
        for name, shape in attention_shapes(config, layer, naming):
            yield f"{prefix}.self_attn.{name}", shape
        for name, shape in expert_shapes(config, naming):
            yield f"{prefix}.mlp.{name}", shape


def attention_shapes(config: Mapping[str, Any], layer: int, naming: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of attention; layers that share keys and values have only queries."""
    hidden, heads, groups = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    width = hidden // heads
    outputs = {"q_proj": heads * width, "o_proj": hidden}
    if not config["use_cla"] or layer % config["cla_share_factor"] == 0:
        if naming == "fused":
            outputs = {"qkv_proj": (heads + 2 * groups) * width, "o_proj": hidden}
        else:
            outputs |= {"k_proj": groups * width, "v_proj": groups * width}
    for name, size in outputs.items():
        yield f"{name}.weight", (size, heads * width if name == "o_proj" else hidden)
        if config["attention_bias"]:
            yield f"{name}.bias", (size,)
    yield "query_layernorm.weight", (width,)
    yield "key_layernorm.weight", (width,)


def expert_shapes(config: Mapping[str, Any], naming: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of router, shared MLP and experts."""
    hidden, inner, experts = config["hidden_size"], config["intermediate_size"], config["num_experts"]
    yield "gate.wg.weight", (experts, hidden)
    homes = {"shared_mlp": inner * config["num_shared_expert"]}
    if naming != "stacked":
        homes |= {f"experts.{expert}": inner for expert in range(experts)}
    for home, size in homes.items():
        if naming == "fused":
            yield f"{home}.gate_and_up_proj.weight", (2 * size, hidden)
        else:
            yield f"{home}.gate_proj.weight", (size, hidden)
            yield f"{home}.up_proj.weight", (size, hidden)
        yield f"{home}.down_proj.weight", (hidden, size)
    if naming == "stacked":
        yield "switch_mlp.gate_proj.weight", (experts, inner, hidden)
        yield "switch_mlp.up_proj.weight", (experts, inner, hidden)
        yield "switch_mlp.down_proj.weight", (experts, hidden, inner)


def spread(name: str, shape: tuple[int, ...], *, tied: bool) -> dict[str, float]:
    """Norms around 1, biases of both signs, routers without ties, logits not flat."""
    if "norm" in name:
        return {"mean": 1.0, "scale": 0.1}
    if name.endswith(".bias"):
        return {"mean": 0.0, "scale": 0.2}
    if "embed_tokens" in name:
        return {"mean": 0.0, "scale": 0.2 if tied else 1.0}
    gain = 2.0 if ".gate.wg." in name or name.startswith("lm_head") else 1.2
    return {"mean": 0.0, "scale": float(f"{gain / math.sqrt(shape[-1]):.4g}")}


if __name__ == "__main__":
    main()
