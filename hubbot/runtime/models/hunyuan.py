# SPDX-License-Identifier: Apache-2.0
"""Tencent HunYuan mixture-of-experts models for mlx-lm: Hunyuan-Large (arXiv:2411.02265), A13B and their kin.

What they are made of, beside the usual parts of a decoder:

Mixed MLP MoE: every token goes through a shared MLP and through the experts that its router chooses; the two
add up. The router takes the softmax over all experts in float32. With several experts a token their weights are
renormalised to add up to 1; with one (Hunyuan-Large) the expert keeps its probability, as in Switch
Transformers (arXiv:2101.03961).

Cross-layer attention, CLA (arXiv:2405.12981): only the first of every `cla_share_factor` layers projects keys
and values; the layers after it project queries and attend to those same keys and values. What is shared are the
projections: every layer rotates and normalises the keys itself, with its own weights.

QK norm after rope: queries and keys of each head pass an RMSNorm, which bounds the attention logits
(arXiv:2302.05442). Here it comes after the rotation; with learned weights the two do not commute.

Dynamic NTK-alpha rope: rotary positions (arXiv:2104.09864) whose base is multiplied once by
alpha ** (d / (d - 2)), d the width of a head: fast rotations stay, slow ones are stretched over a longer
context. In spite of its name nothing depends on the length of the text.

mlx-lm's own class never renormalises the experts' weights, always ties the output layer to the embedding, and
knows no HunYuan without NTK-alpha or with another head width than hidden size / heads. Reference: transformers,
models/hunyuan_v1_moe; for Hunyuan-Large the paper and Tencent's configuration.

The router is called `gate`, not `gate.wg`: a loader that ignores `model_file` finds a parameter it does not know
and stops, where it would otherwise compute another function.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.activations import swiglu
from mlx_lm.models.base import BaseModelArgs, create_attention_mask, scaled_dot_product_attention
from mlx_lm.models.switch_layers import SwitchGLU


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # hunyuan_v1_moe (transformers) or hunyuan (Tencent's own code); mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of the MLP in a dense layer; key of the same name.
    intermediate_size: int
    # Inner width of one expert; one number where Tencent lists the same for every layer, and
    # intermediate_size where the config has no such key.
    moe_intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # Key and value heads (grouped-query attention: each serves several query heads); key of the same name.
    num_key_value_heads: int
    # Width of one head; Tencent's key head_dim or attention_head_dim, else hidden_size / num_attention_heads.
    head_dim: int
    # The four projections of attention have biases; key of the same name, false where there is none.
    attention_bias: bool
    # The projections of MLPs and experts have biases, the router never; key of the same name, else false.
    mlp_bias: bool
    # RMSNorm over each head's queries and keys after rope; Tencent's key, in transformers' class always true.
    use_qk_norm: bool
    # Added to the mean square in every RMSNorm; key of the same name.
    rms_norm_eps: float
    # Base of the rotary frequencies before alpha; key of the same name.
    rope_theta: float
    # None, or {"type": "dynamic", "alpha": a}: the base is multiplied by a ** (d / (d - 2)); key of the same name.
    rope_scaling: dict[str, Any] | None
    # Cross-layer attention: only every cla_share_factor-th layer projects keys and values; Tencent's key, in
    # transformers' class always false.
    use_cla: bool
    # How many layers in a row attend to the same keys and values: 2 in Hunyuan-Large; Tencent's key, read
    # only with use_cla.
    cla_share_factor: int
    # Routed experts of a layer; with 1 every layer is dense. Key of the same name; one number, as above.
    num_experts: int
    # Experts that the router chooses for a token; Tencent's key, one number where it lists one per layer.
    moe_topk: int
    # The chosen experts' weights are divided by their sum. No key of Tencent's: hubbot writes it, true unless
    # moe_topk is 1 in a hunyuan config, always true for hunyuan_v1_moe.
    renormalise_top_k: bool
    # Mixed MLP MoE: a shared MLP is added to the experts' sum; Tencent's key, in transformers' class always true.
    use_mixed_mlp_moe: bool
    # Width of that one shared MLP, in experts: it is num_shared_expert * moe_intermediate_size; Tencent's key.
    num_shared_expert: int
    # The first so many layers are dense, with intermediate_size; Tencent's key, 0 where the config has none.
    moe_layer_num_skipped: int
    # The output layer is the embedding; key of the same name, false where the config has none.
    tie_word_embeddings: bool

    def __post_init__(self) -> None:
        """Refuse a kind of rope scaling that this class does not compute."""
        scaling = self.rope_scaling or {}
        if scaling and not (scaling.get("type") == "dynamic" and scaling.get("alpha")):
            raise ValueError(f"rope_scaling must be dynamic with an alpha, not {scaling}")


def rope_base(args: ModelArgs) -> float:
    """Return the base of the rotary frequencies, NTK-alpha included."""
    alpha = float((args.rope_scaling or {}).get("alpha", 1.0))
    stretch: float = alpha ** (args.head_dim / (args.head_dim - 2))
    return args.rope_theta * stretch


def projects_keys(args: ModelArgs, index: int) -> bool:
    """Say whether the layer of that number has keys and values of its own."""
    return not args.use_cla or index % args.cla_share_factor == 0


class Attention(nn.Module):
    """Grouped-query attention over its own keys and values or over those of an earlier layer (CLA)."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        width, head_dim, bias = args.hidden_size, args.head_dim, args.attention_bias
        self.heads = args.num_attention_heads
        self.kv_heads = args.num_key_value_heads
        self.scale = head_dim**-0.5
        self.q_proj = nn.Linear(width, self.heads * head_dim, bias=bias)
        if projects_keys(args, index):
            self.k_proj = nn.Linear(width, self.kv_heads * head_dim, bias=bias)
            self.v_proj = nn.Linear(width, self.kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * head_dim, width, bias=bias)
        if args.use_qk_norm:
            self.query_layernorm = nn.RMSNorm(head_dim, args.rms_norm_eps)
            self.key_layernorm = nn.RMSNorm(head_dim, args.rms_norm_eps)
        self.rope = nn.RoPE(head_dim, traditional=False, base=rope_base(args))

    def __call__(self, x: mx.array, mask: Any, cache: Any, shared: Any) -> tuple[mx.array, Any]:
        """Map [batch, tokens, hidden] to the same shape, and return the keys and values for later layers.

        `shared` are the projected keys and values [batch, kv heads, tokens, head width] of an earlier layer.
        """
        # [batch, tokens, heads * head width] -> [batch, heads, tokens, head width]
        queries = self._heads(self.q_proj(x), self.heads)
        # A layer without keys of its own (CLA) attends to those that an earlier one projected.
        if "k_proj" in self:
            shared = self._heads(self.k_proj(x), self.kv_heads), self._heads(self.v_proj(x), self.kv_heads)
        keys, values = shared
        # Shared are the projections alone: each layer rotates, normalises and caches its own copy.
        offset = cache.offset if cache is not None else 0
        queries, keys = self.rope(queries, offset=offset), self.rope(keys, offset=offset)
        # After the rotation, never before: with learned weights the two do not commute.
        if "query_layernorm" in self:
            queries, keys = self.query_layernorm(queries), self.key_layernorm(keys)
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)
        # Heads side by side again: [batch, tokens, heads * head width] -> o_proj -> [batch, tokens, hidden].
        y = scaled_dot_product_attention(queries, keys, values, cache=cache, scale=self.scale, mask=mask)
        return self.o_proj(y.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)), shared

    def _heads(self, x: mx.array, count: int) -> mx.array:
        return x.reshape(*x.shape[:2], count, -1).transpose(0, 2, 1, 3)


class MLP(nn.Module):
    """SwiGLU, of a dense layer or shared by all tokens."""

    def __init__(self, args: ModelArgs, width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(args.hidden_size, width, bias=args.mlp_bias)
        self.up_proj = nn.Linear(args.hidden_size, width, bias=args.mlp_bias)
        self.down_proj = nn.Linear(width, args.hidden_size, bias=args.mlp_bias)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # [.., H] -> silu(gate) * up, [.., I] -> down, [.., H]
        return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))


class MixedMoe(nn.Module):
    """Mixed MLP MoE: the chosen experts beside an MLP that all tokens share."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.top_k = args.moe_topk
        self.renormalise = args.renormalise_top_k
        width = args.moe_intermediate_size
        self.gate = nn.Linear(args.hidden_size, args.num_experts, bias=False)
        self.switch_mlp = SwitchGLU(args.hidden_size, width, args.num_experts, bias=args.mlp_bias)
        if args.use_mixed_mlp_moe:
            self.shared_mlp = MLP(args, width * args.num_shared_expert)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # The router looks at every expert: [batch, tokens, experts] in float32.
        probabilities = mx.softmax(self.gate(x).astype(mx.float32), axis=-1, precise=True)
        # The top k of them, in no order: indices and weights [batch, tokens, k].
        chosen = mx.argpartition(-probabilities, kth=self.top_k - 1, axis=-1)[..., : self.top_k]
        weights = mx.take_along_axis(probabilities, chosen, axis=-1)
        # The k weights add up to 1, unless one expert keeps its probability.
        if self.renormalise:
            weights = weights / weights.sum(axis=-1, keepdims=True)
        # Experts [batch, tokens, k, hidden], weighted and added; then the MLP that every token passes.
        y = (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2).astype(x.dtype)
        return y + self.shared_mlp(x) if "shared_mlp" in self else y


class DecoderLayer(nn.Module):
    """Attention and a dense or mixed feed-forward, each before its own norm."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(args, index)
        has_experts = args.num_experts > 1 and index >= args.moe_layer_num_skipped
        self.mlp = MixedMoe(args) if has_experts else MLP(args, args.intermediate_size)
        self.input_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array, mask: Any, cache: Any, shared: Any) -> tuple[mx.array, Any]:
        """Map [batch, tokens, hidden] to the same shape, and pass on the keys and values of attention."""
        # Norm, attention, residual; norm, feed-forward, residual.
        r, shared = self.self_attn(self.input_layernorm(x), mask, cache, shared)
        h = x + r
        return h + self.mlp(self.post_attention_layernorm(h)), shared


class Backbone(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args, index) for index in range(args.num_hidden_layers)]
        self.norm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        """Map token ids [batch, tokens] to [batch, tokens, hidden]."""
        h = self.embed_tokens(inputs)
        cache = cache or [None] * len(self.layers)
        mask = create_attention_mask(h, cache[0])
        shared = None
        # `shared` goes from layer to layer: replaced where a layer projects keys, else passed on.
        for layer, each in zip(self.layers, cache, strict=True):
            h, shared = layer(h, mask, each, shared)
        return self.norm(h)


class Model(nn.Module):
    """The language model that mlx-lm loads; its weights are stored under exactly these names."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args = args
        self.model_type = args.model_type
        self.model = Backbone(args)
        if not args.tie_word_embeddings:
            self.lm_head = nn.Linear(args.hidden_size, args.vocab_size, bias=False)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        """Map token ids [batch, tokens] to logits [batch, tokens, vocabulary]."""
        h = self.model(inputs, cache)
        # [batch, tokens, hidden] -> logits, by the embedding itself where it is tied.
        return self.model.embed_tokens.as_linear(h) if self.args.tie_word_embeddings else self.lm_head(h)

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
