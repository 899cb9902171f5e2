"""What the text decoder of Kimi K3 computes, in numpy and float64, from its config and its tensors.

transformers has no class for model type `kimi_k3`, so this stands in: written from Moonshot's config.json, the
paper of Kimi Delta Attention (arXiv:2510.26692) and what is known of NVIDIA's and SGLang's ports. It takes tensors
under the Hub's names without `language_model.`, experts unpacked. It never uses mlx.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tensors = Mapping[str, NDArray[Any]]
# Of the latents' norms and of the unit length of queries and keys, whatever the config says.
EPSILON = 1e-6


def logits(config: Mapping[str, Any], tensors: Tensors, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits [tokens, vocabulary] of one sequence; `config` is text_config."""
    weights = {name: np.asarray(value, np.float64) for name, value in tensors.items()}
    stream = weights["model.embed_tokens.weight"][np.asarray(ids)]
    saved: list[Array] = []
    for layer in range(config["num_hidden_layers"]):
        part = below(weights, f"model.layers.{layer}.")
        h = residual(config, part, "self_attention_res", saved, stream)
        starts = layer % config["attn_res_block_size"] == 0
        if starts:
            saved = [*saved, stream]
        is_linear = layer + 1 in config["linear_attn_config"]["kda_layers"]
        attend = delta_attention if is_linear else latent_attention
        y = attend(config, below(part, "self_attn."), norm(config, h, part["input_layernorm.weight"]))
        stream = y if starts else stream + y
        h = norm(config, residual(config, part, "mlp_res", saved, stream), part["post_attention_layernorm.weight"])
        dense = layer < config["first_k_dense_replace"]
        stream = stream + (
            mlp(config, part, "mlp", h) if dense else experts(config, below(part, "block_sparse_moe."), h)
        )
    x = residual(config, below(weights, "model."), "output_attn_res", saved, stream)
    x = norm(config, x, weights["model.norm.weight"])
    return (x @ weights["lm_head.weight"].T).astype(np.float32)


def residual(
    config: Mapping[str, Any], part: Mapping[str, Array], name: str, saved: list[Array], stream: Array
) -> Array:
    """The saved streams and the running one, mixed for each token by how well their norms answer a query."""
    if not saved:
        return stream
    streams = np.stack([*saved, stream])
    scores = norm(config, streams, part[f"{name}_norm.weight"]) @ part[f"{name}_proj.weight"][0]
    mixed: Array = (softmax(scores.T).T[..., None] * streams).sum(axis=0)
    return mixed


def delta_attention(config: Mapping[str, Any], part: Mapping[str, Array], x: Array) -> Array:
    """Kimi Delta Attention: a state per head that forgets by channel and is corrected by the delta rule."""
    linear_config = config["linear_attn_config"]
    heads, width = linear_config["num_heads"], linear_config["head_dim"]
    queries, keys, values = (
        split_heads(silu(convolved(x @ part[f"{name}_proj.weight"].T, part[f"{name}_conv1d.weight"])), heads)
        for name in "qkv"
    )
    queries, keys = unit(queries) * width**-0.5, unit(keys)
    forget = split_heads(
        x @ part["f_a_proj.weight"].T @ part["f_b_proj.weight"].T + part["dt_bias"].reshape(-1), heads
    )
    rate = np.exp(part["A_log"].reshape(-1)[:heads])[:, None, None]
    lower = linear_config.get("gate_lower_bound")
    decay = np.exp(-rate * np.logaddexp(0, forget)) if lower is None else np.exp(lower * sigmoid(rate * forget))
    learn = sigmoid(x @ part["b_proj.weight"].T).T
    state, out = np.zeros((heads, width, width)), np.zeros_like(values)
    for token in range(len(x)):
        key, value = keys[:, token], values[:, token]
        state = state * decay[:, token, :, None]
        wrong = value - np.einsum("hk,hkv->hv", key, state)
        state = state + learn[:, token, None, None] * key[:, :, None] * wrong[:, None, :]
        out[:, token] = np.einsum("hk,hkv->hv", queries[:, token], state)
    out = norm(config, out, part["o_norm.weight"])
    full = linear_config.get("use_full_rank_gate")
    gate = x @ part["g_proj.weight"].T if full else x @ part["g_a_proj.weight"].T @ part["g_b_proj.weight"].T
    return (join_heads(out) * sigmoid(gate)) @ part["o_proj.weight"].T


def latent_attention(config: Mapping[str, Any], part: Mapping[str, Array], x: Array) -> Array:
    """Causal attention from a latent, without any position, its output gated by channel."""
    tokens, heads, nope = len(x), config["num_attention_heads"], config["qk_nope_head_dim"]
    if config["q_lora_rank"] is None:
        queries = split_heads(x @ part["q_proj.weight"].T, heads)
    else:
        low = norm(config, x @ part["q_a_proj.weight"].T, part["q_a_layernorm.weight"], EPSILON)
        queries = split_heads(low @ part["q_b_proj.weight"].T, heads)
    compressed = x @ part["kv_a_proj_with_mqa.weight"].T
    latent, shared = np.split(compressed, [config["kv_lora_rank"]], axis=-1)
    latent = norm(config, latent, part["kv_a_layernorm.weight"], EPSILON)
    own, values = np.split(split_heads(latent @ part["kv_b_proj.weight"].T, heads), [nope], axis=-1)
    keys = np.concatenate([own, np.broadcast_to(shared, (heads, *shared.shape))], axis=-1)
    scores = queries @ keys.swapaxes(1, 2) / np.sqrt(keys.shape[-1])
    scores[:, np.triu(np.ones((tokens, tokens), bool), 1)] = -np.inf
    out = join_heads(softmax(scores) @ values)
    if config["mla_use_output_gate"]:
        out = out * sigmoid(x @ part["g_proj.weight"].T)
    return out @ part["o_proj.weight"].T


def experts(config: Mapping[str, Any], part: Mapping[str, Array], x: Array) -> Array:
    """Experts that work in a latent space, chosen by sigmoid score plus bias; and shared ones beside them."""
    scores = sigmoid(x @ part["gate.weight"].T)
    low = x @ part["routed_expert_down_proj.weight"].T
    out = np.zeros_like(low)
    for token, row in enumerate(scores):
        preference = allowed(config, row + part["gate.e_score_correction_bias"])
        chosen = np.argsort(-preference)[: config["num_experts_per_token"]]
        total = row[chosen].sum() if config["moe_renormalize"] else 1.0
        for expert in chosen:
            gate, up, down = (part[f"experts.{expert}.{name}.weight"] for name in ("w1", "w3", "w2"))
            y = situ(config, low[token] @ gate.T, low[token] @ up.T) @ down.T
            out[token] += config["routed_scaling_factor"] * row[expert] / total * y
    if config["latent_moe_use_norm"]:
        out = norm(config, out, part["routed_expert_norm.weight"])
    out = out @ part["routed_expert_up_proj.weight"].T
    return out + mlp(config, part, "shared_experts", x) if config["num_shared_experts"] else out


def allowed(config: Mapping[str, Any], preference: Array) -> Array:
    """The preferences of the experts in the best groups, whose two best sum up highest; else minus infinity."""
    groups = preference.reshape(config["num_expert_group"], -1)
    best = np.argsort(-np.sort(groups, axis=-1)[:, -2:].sum(axis=-1))[: config["topk_group"]]
    kept = np.full_like(groups, -np.inf)
    kept[best] = groups[best]
    return kept.reshape(-1)


def mlp(config: Mapping[str, Any], part: Mapping[str, Array], name: str, x: Array) -> Array:
    """A feed-forward with SiTU."""
    gate, up = (x @ part[f"{name}.{half}_proj.weight"].T for half in ("gate", "up"))
    return situ(config, gate, up) @ part[f"{name}.down_proj.weight"].T


def situ(config: Mapping[str, Any], gate: Array, up: Array) -> Array:
    """SiLU whose linear factor saturates, times a factor that saturates too where the config says at what."""
    beta, linear = config["activation_situ_beta"] or 1.0, config["activation_situ_linear_beta"]
    bounded = up if linear is None else linear * np.tanh(up / linear)
    return beta * np.tanh(gate / beta) * sigmoid(gate) * bounded


def convolved(x: Array, kernel: Array) -> Array:
    """Causal convolution of each channel with its own kernel [channels, 1, width]."""
    width = kernel.shape[-1]
    padded = np.concatenate([np.zeros((width - 1, x.shape[1])), x])
    y: Array = np.sum([padded[step : step + len(x)] * kernel[:, 0, step] for step in range(width)], axis=0)
    return y


def norm(config: Mapping[str, Any], x: Array, weight: Array, epsilon: float | None = None) -> Array:
    """RMSNorm over the last axis."""
    eps = config["rms_norm_eps"] if epsilon is None else epsilon
    y: Array = weight * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)
    return y


def unit(x: Array) -> Array:
    """Vectors of length 1."""
    y: Array = x / np.sqrt(np.sum(x**2, axis=-1, keepdims=True) + EPSILON)
    return y


def sigmoid(x: Array) -> Array:
    """Logistic function."""
    y: Array = np.exp(-np.logaddexp(0, -x))
    return y


def silu(x: Array) -> Array:
    """x times its sigmoid."""
    return x * sigmoid(x)


def softmax(x: Array) -> Array:
    """Softmax over the last axis."""
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    probabilities: Array = e / e.sum(axis=-1, keepdims=True)
    return probabilities


def split_heads(x: Array, heads: int) -> Array:
    """[tokens, heads * width] as [heads, tokens, width]."""
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def join_heads(x: Array) -> Array:
    """[heads, tokens, width] as [tokens, heads * width]."""
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def below(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
