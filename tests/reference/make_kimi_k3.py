"""Make the records of model type `kimi_k3`, which transformers has no class for, with numpy alone.

    python -m tests.reference.make_kimi_k3

The logits come from kimi_k3_numpy.py. It knows how Kimi K3 names its tensors and nests its config.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.reference import checkpoints, kimi_k3_numpy
from tests.reference.packing import PACKINGS

SEED = 20250
TOKENS = 24
STEPS = 6
PREFIX = "language_model."
Shapes = Iterator[tuple[str, tuple[int, ...]]]

# The keys of Kimi-K3's text_config, with small widths and values away from every default.
TEXT: Mapping[str, Any] = {
    "architectures": ["KimiLinearForCausalLM"], "model_type": "kimi_linear", "vocab_size": 128, "hidden_size": 128,
    "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 192,
    "rms_norm_eps": 1e-5, "hidden_act": "situ", "activation_situ_beta": 1.5, "activation_situ_linear_beta": 2.5,
    "attn_res_block_size": 2, "q_lora_rank": 64, "kv_lora_rank": 64, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32, "v_head_dim": 32, "mla_use_nope": True, "mla_use_output_gate": True, "num_experts": 8,
    "num_experts_per_token": 3, "num_shared_experts": 2, "moe_intermediate_size": 64,
    "routed_expert_hidden_size": 96, "moe_renormalize": True, "moe_router_activation_func": "sigmoid",
    "latent_moe_use_norm": True, "routed_scaling_factor": 1.75, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "num_expert_group": 1, "topk_group": 1, "topk_method": "noaux_tc", "use_grouped_topk": True,
    "num_nextn_predict_layers": 0, "max_position_embeddings": 4096, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "use_cache": True, "initializer_range": 0.02,
    "linear_attn_config": {
        "num_heads": 3, "head_dim": 32, "short_conv_kernel_size": 4, "kda_layers": [1, 2, 4],
        "full_attn_layers": [3, 5], "use_full_rank_gate": True, "gate_lower_bound": -5.0,
    },
}  # fmt: skip
OUTER: Mapping[str, Any] = {
    "architectures": ["KimiK3ForConditionalGeneration"], "model_type": "kimi_k3", "dtype": "bfloat16",
    "ignore_index": -100, "media_placeholder_token_id": 126, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0, "tie_word_embeddings": False,
    "vision_config": {"mm_projector_type": "patchmergerv2", "patch_size": 14, "vt_hidden_size": 16},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One checkpoint: values of text_config changed from TEXT, and the forms it has on disk."""

    name: str
    forms: tuple[str, ...]
    remarks: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)


MODELS = (
    Made(
        name="base",
        forms=("orig", "bf16", "mxfp4_pack"),
        remarks=("linear and latent attention, latent experts, residuals that attend",),
    ),
    Made(
        name="groups",
        forms=("orig",),
        changes={"num_expert_group": 4, "topk_group": 2},
        remarks=("two of four groups",),
    ),
    Made(
        name="open",
        forms=("orig",),
        changes={
            "q_lora_rank": None, "mla_use_output_gate": False, "activation_situ_linear_beta": None,
            "latent_moe_use_norm": False, "num_shared_experts": 0, "moe_renormalize": False,
            "num_experts_per_token": 2,
            "linear_attn_config": {
                **TEXT["linear_attn_config"], "use_full_rank_gate": False, "gate_lower_bound": None,
            },
        },
        remarks=("no rank of queries, no gates, no bounds, no norm behind the experts, no shared ones",),
    ),
)  # fmt: skip


def main() -> None:
    """Write one JSON record a model and the logits of them all."""
    folder = checkpoints.RECORDS / "kimi_k3"
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for made in MODELS:
        record = record_of(made, arrays)
        (folder / f"{made.name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    np.savez(folder / "logits.npz", allow_pickle=False, **arrays)


def record_of(made: Made, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The record of one model; its logits are put into `arrays`."""
    text = {**TEXT, **made.changes}
    parameters = {name: {"shape": list(shape), **spread(name, shape)} for name, shape in sorted(shapes(text))}
    raw = np.random.PCG64(SEED).random_raw(TOKENS)
    ids = [int(value) % text["vocab_size"] for value in raw]
    record: dict[str, Any] = {
        "model_type": "kimi_k3", "model": made.name, "expected": "convert", "remarks": list(made.remarks),
        "seed": SEED, "ids": ids, "parameters": parameters, "layouts": {"orig": {name: {} for name in parameters}},
        "forms": {},
    }  # fmt: skip
    for form in made.forms:
        record["forms"][form] = form_of(record, text, form)
        reference = record["forms"][form]["reference"]
        arrays[f"{reference}.logits"] = logits = answer(record, form, ids)
        if form == "orig":
            refuse_ties(record, ids, logits)
            fed, steps = decode(record, ids)
            arrays |= {f"{reference}.decode_ids": fed, f"{reference}.decode_logits": steps}
    return record


def form_of(record: Mapping[str, Any], text: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The description of one form, with the sha256 of its files."""
    packing, names = PACKINGS.get(form), record["parameters"]
    exact = ("e_score_correction_bias", "A_log", "dt_bias")
    declared = {"quantization_config": dict(packing.declared)} if packing else {}
    description: dict[str, Any] = {
        "layout": "orig",
        "dtype": "F32" if form == "orig" else "BF16",
        "float32": [] if form == "orig" else sorted(name for name in names if name.endswith(exact)),
        "reference": record["model"] if form == "orig" else f"{record['model']}-{form}",
        "config": {**OUTER, "text_config": {**text, **declared}},
        "files": {"config.json": {}, "model.safetensors": {}},
    }
    for name, data in checkpoints.render({**record, "forms": {form: description}}, form).items():
        description["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()
    return description


def answer(record: Mapping[str, Any], form: str, ids: list[int]) -> np.ndarray:
    """Logits of one sequence, float32 [tokens, vocabulary], of what is stored in that form."""
    config = record["forms"][form]["config"]["text_config"]
    held = checkpoints.layout_tensors(record, form)
    return kimi_k3_numpy.logits(config, {name.removeprefix(PREFIX): value for name, value in held.items()}, ids)


def decode(record: Mapping[str, Any], ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Greedy steps, each a whole pass: the ids fed and the logits after each."""
    text, last = list(ids), answer(record, "orig", ids)[-1]
    steps = []
    for _ in range(STEPS):
        text.append(int(last.argmax()))
        last = answer(record, "orig", text)[-1]
        steps.append(last)
    return np.array(text[len(ids) :], np.int64), np.stack(steps)


def refuse_ties(record: Mapping[str, Any], ids: list[int], logits: np.ndarray) -> None:
    """No reference may depend on a router so near a tie that noise of one part in a million moves the logits."""
    config = record["forms"]["orig"]["config"]["text_config"]
    noise = np.random.default_rng(0)
    for _ in range(3):
        shaken = {
            name.removeprefix(PREFIX): value * (1 + 1e-6 * noise.standard_normal(value.shape)).astype(np.float32)
            for name, value in checkpoints.layout_tensors(record, "orig").items()
        }
        moved = np.abs(kimi_k3_numpy.logits(config, shaken, ids) - logits).max() / np.abs(logits).max()
        if moved > 1e-4:
            raise SystemExit(f"kimi_k3/{record['model']}: a router is near a tie ({moved:.1e})")


def spread(name: str, shape: tuple[int, ...]) -> dict[str, float]:
    """Norms around 1, biases of both signs, routers without ties, logits not flat."""
    if "norm" in name:
        return {"mean": 1.0, "scale": 0.1}
    if name.endswith(("e_score_correction_bias", "dt_bias")):
        return {"mean": 0.0, "scale": 0.2}
    if name.endswith(("A_log", "embed_tokens.weight")):
        return {"mean": 0.0, "scale": 1.0}
    gain = 2.0 if name.endswith(".gate.weight") or "lm_head" in name else 1.2
    return {"mean": 0.0, "scale": float(f"{gain / math.sqrt(shape[-1]):.4g}")}


def shapes(config: Mapping[str, Any]) -> Shapes:
    """Every tensor's name on the Hub, and its shape."""
    hidden = config["hidden_size"]
    yield f"{PREFIX}model.embed_tokens.weight", (config["vocab_size"], hidden)
    yield f"{PREFIX}lm_head.weight", (config["vocab_size"], hidden)
    yield f"{PREFIX}model.norm.weight", (hidden,)
    yield from residual_shapes(f"{PREFIX}model.output_attn_res", hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"{PREFIX}model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
        for name in ("self_attention_res", "mlp_res"):
            yield from residual_shapes(f"{prefix}.{name}", hidden)
        linear = layer + 1 in config["linear_attn_config"]["kda_layers"]
        for name, shape in (delta_shapes if linear else latent_shapes)(config):
            yield f"{prefix}.self_attn.{name}", shape
        if layer < config["first_k_dense_replace"]:
            yield from mlp_shapes(f"{prefix}.mlp", hidden, config["intermediate_size"])
        else:
            yield from expert_shapes(f"{prefix}.block_sparse_moe", config)


def residual_shapes(name: str, hidden: int) -> Shapes:
    """A norm, and a query of one row."""
    yield f"{name}_norm.weight", (hidden,)
    yield f"{name}_proj.weight", (1, hidden)


def delta_shapes(config: Mapping[str, Any]) -> Shapes:
    """Kimi Delta Attention."""
    part, hidden = config["linear_attn_config"], config["hidden_size"]
    heads, width, kernel = part["num_heads"], part["head_dim"], part["short_conv_kernel_size"]
    for name in "qkv":
        yield f"{name}_proj.weight", (heads * width, hidden)
        yield f"{name}_conv1d.weight", (heads * width, 1, kernel)
    yield "f_a_proj.weight", (width, hidden)
    yield "f_b_proj.weight", (heads * width, width)
    yield "b_proj.weight", (heads, hidden)
    if part["use_full_rank_gate"]:
        yield "g_proj.weight", (heads * width, hidden)
    else:
        yield "g_a_proj.weight", (width, hidden)
        yield "g_b_proj.weight", (heads * width, width)
    yield "A_log", (1, 1, heads, 1)
    yield "dt_bias", (heads * width,)
    yield "o_norm.weight", (width,)
    yield "o_proj.weight", (hidden, heads * width)


def latent_shapes(config: Mapping[str, Any]) -> Shapes:
    """Latent attention."""
    hidden, heads, rank = config["hidden_size"], config["num_attention_heads"], config["kv_lora_rank"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    low = config["q_lora_rank"]
    if low is None:
        yield "q_proj.weight", (heads * (nope + rope), hidden)
    else:
        yield "q_a_proj.weight", (low, hidden)
        yield "q_a_layernorm.weight", (low,)
        yield "q_b_proj.weight", (heads * (nope + rope), low)
    yield "kv_a_proj_with_mqa.weight", (rank + rope, hidden)
    yield "kv_a_layernorm.weight", (rank,)
    yield "kv_b_proj.weight", (heads * (nope + value), rank)
    yield "o_proj.weight", (hidden, heads * value)
    if config["mla_use_output_gate"]:
        yield "g_proj.weight", (heads * value, hidden)


def mlp_shapes(name: str, hidden: int, inner: int) -> Shapes:
    """A gated feed-forward."""
    yield f"{name}.gate_proj.weight", (inner, hidden)
    yield f"{name}.up_proj.weight", (inner, hidden)
    yield f"{name}.down_proj.weight", (hidden, inner)


def expert_shapes(name: str, config: Mapping[str, Any]) -> Shapes:
    """Router, experts in the latent space, and shared ones."""
    hidden, latent = config["hidden_size"], config["routed_expert_hidden_size"]
    inner, count = config["moe_intermediate_size"], config["num_experts"]
    yield f"{name}.gate.weight", (count, hidden)
    yield f"{name}.gate.e_score_correction_bias", (count,)
    yield f"{name}.routed_expert_down_proj.weight", (latent, hidden)
    yield f"{name}.routed_expert_up_proj.weight", (hidden, latent)
    if config["latent_moe_use_norm"]:
        yield f"{name}.routed_expert_norm.weight", (latent,)
    for expert in range(count):
        yield f"{name}.experts.{expert}.w1.weight", (inner, latent)
        yield f"{name}.experts.{expert}.w3.weight", (inner, latent)
        yield f"{name}.experts.{expert}.w2.weight", (latent, inner)
    if config["num_shared_experts"]:
        yield from mlp_shapes(f"{name}.shared_experts", hidden, inner * config["num_shared_experts"])


if __name__ == "__main__":
    main()
