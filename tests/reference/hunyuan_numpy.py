"""What a HunYuan mixture-of-experts model computes, in numpy and float64, from its config and its tensors.

transformers has no class for model type `hunyuan` (Hunyuan-Large, HunyuanVideo-PromptRewrite), so this stands in:
written from the paper (arXiv:2411.02265), the configuration and the shapes. It takes the tensors as PyTorch
checkpoints name them, per expert and unfused; `unfused` brings fused ones there. It never uses mlx.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tensors = Mapping[str, NDArray[Any]]


def logits(config: Mapping[str, Any], tensors: Tensors, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits [tokens, vocabulary] of one sequence."""
    weights = {name: np.asarray(value, np.float64) for name, value in tensors.items()}
    x = weights["model.embed_tokens.weight"][np.asarray(ids)]
    shared = None
    for layer in range(config["num_hidden_layers"]):
        part = _below(weights, f"model.layers.{layer}.")
        # Cross-layer attention: only every cla_share_factor-th layer makes keys and values.
        owns = not config["use_cla"] or layer % config["cla_share_factor"] == 0
        if owns == ("self_attn.k_proj.weight" not in part):
            raise ValueError(f"layer {layer} has keys of its own: {not owns}, the config says {owns}")
        attended, shared = attention(
            config, _below(part, "self_attn."), norm(config, x, part["input_layernorm.weight"]), shared
        )
        x = x + attended
        x = x + feed_forward(
            config, _below(part, "mlp."), norm(config, x, part["post_attention_layernorm.weight"])
        )
    x = norm(config, x, weights["model.norm.weight"])
    out = weights["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return (x @ out.T).astype(np.float32)


def norm(config: Mapping[str, Any], x: Array, weight: Array) -> Array:
    """RMSNorm over the last axis."""
    y: Array = weight * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + config["rms_norm_eps"])
    return y


def attention(
    config: Mapping[str, Any], part: Mapping[str, Array], x: Array, shared: tuple[Array, Array] | None
) -> tuple[Array, tuple[Array, Array]]:
    """Causal grouped-query attention, and the unrotated keys and values [heads, tokens, width] it used."""
    tokens = len(x)
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("attention_head_dim") or config["hidden_size"] // heads
    if "k_proj.weight" in part:
        shared = split_heads(linear(part, "k_proj", x), groups), split_heads(linear(part, "v_proj", x), groups)
    assert shared is not None
    keys, values = shared
    queries = rotate(config, split_heads(linear(part, "q_proj", x), heads))
    keys = rotate(config, keys)
    if config["use_qk_norm"]:  # after the rotation
        queries = norm(config, queries, part["query_layernorm.weight"])
        keys = norm(config, keys, part["key_layernorm.weight"])
    keys = np.repeat(keys, heads // groups, axis=0)
    repeated = np.repeat(values, heads // groups, axis=0)
    scores = queries @ keys.swapaxes(1, 2) / np.sqrt(width)
    scores[:, np.triu(np.ones((tokens, tokens), bool), 1)] = -np.inf
    mixed = softmax(scores) @ repeated
    return linear(part, "o_proj", mixed.swapaxes(0, 1).reshape(tokens, -1)), shared


def rotate(config: Mapping[str, Any], x: Array) -> Array:
    """Rotary positions on [heads, tokens, width]: channel i pairs with i + width / 2."""
    width = x.shape[-1]
    base = config["rope_theta"]
    if config.get("rope_scaling"):
        base = base * config["rope_scaling"]["alpha"] ** (width / (width - 2))
    angles = np.outer(np.arange(x.shape[1]), base ** (-np.arange(0, width, 2) / width))
    turned = (x[..., : width // 2] + 1j * x[..., width // 2 :]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def feed_forward(config: Mapping[str, Any], part: Mapping[str, Array], x: Array) -> Array:
    """The shared MLP plus the chosen experts; with one expert a token its probability stays as it is."""
    probabilities = softmax(linear(part, "gate.wg", x))
    out = mlp(part, "shared_mlp", x) if config["use_mixed_mlp_moe"] else np.zeros_like(x)
    top = config["moe_topk"]
    for token, row in enumerate(probabilities):
        chosen = np.argsort(-row)[:top]
        total = row[chosen].sum() if top > 1 or config["model_type"] == "hunyuan_v1_moe" else 1.0
        for expert in chosen:
            out[token] += row[expert] / total * mlp(part, f"experts.{expert}", x[token])
    return out


def mlp(part: Mapping[str, Array], name: str, x: Array) -> Array:
    """SwiGLU."""
    gate = linear(part, f"{name}.gate_proj", x)
    return linear(part, f"{name}.down_proj", gate / (1 + np.exp(-gate)) * linear(part, f"{name}.up_proj", x))


def linear(part: Mapping[str, Array], name: str, x: Array) -> Array:
    """X times the transposed weight, plus the bias where there is one."""
    y: Array = x @ part[f"{name}.weight"].T
    return y + part[f"{name}.bias"] if f"{name}.bias" in part else y


def softmax(x: Array) -> Array:
    """Softmax over the last axis."""
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    probabilities: Array = e / e.sum(axis=-1, keepdims=True)
    return probabilities


def split_heads(x: Array, heads: int) -> Array:
    """[tokens, heads * width] as [heads, tokens, width]."""
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def unfused(config: Mapping[str, Any], tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of a fused or stacked checkpoint under per-expert names.

    `qkv_proj` holds, for every key-value head, its queries, one key and one value head; `gate_and_up_proj` the
    up rows first; `switch_mlp` all experts of a projection in one tensor.
    """
    groups = config["num_key_value_heads"]
    queries = config["num_attention_heads"] // groups
    out: dict[str, NDArray[Any]] = {}
    for name, value in tensors.items():
        if ".qkv_proj." in name:
            width = len(value) // (groups * (queries + 2))
            blocks = value.reshape(groups, queries + 2, width, *value.shape[1:])
            cuts = {"q_proj": slice(0, queries), "k_proj": slice(queries, -1), "v_proj": slice(-1, None)}
            for part, cut in cuts.items():
                out[name.replace("qkv_proj", part)] = blocks[:, cut].reshape(-1, *value.shape[1:])
        elif ".gate_and_up_proj." in name:
            for part, half in zip(("up_proj", "gate_proj"), np.split(value, 2), strict=True):
                out[name.replace("gate_and_up_proj", part)] = half
        elif ".switch_mlp." in name:
            for expert, one in enumerate(value):
                out[name.replace("switch_mlp", f"experts.{expert}")] = one
        else:
            out[re.sub(r"\.mlp\.gate\.weight$", ".mlp.gate.wg.weight", name)] = value
    return out


def _below(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
