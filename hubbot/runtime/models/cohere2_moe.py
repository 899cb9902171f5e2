# SPDX-License-Identifier: Apache-2.0
"""Cohere2 mixture of experts for mlx-lm: North Mini Code and Command A+ (Cohere, 2026).

One norm feeds attention and feed-forward, which run side by side and are added to the stream together. Sliding
layers rotate neighbouring channels, full layers have no positions at all; dense layers at the start rotate in any
case where prefix_dense_sliding_window_pattern is 1. The router takes the k largest logits and weights them by the
softmax of those k alone, or by their sigmoids (transformers, models/cohere2_moe).

mlx-lm has no class of this name, so a loader that ignores `model_file` stops. Once it has one that calls its
parameters the same, the same weights and config run without this file.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs, create_attention_mask, scaled_dot_product_attention
from mlx_lm.models.cache import KVCache, RotatingKVCache
from mlx_lm.models.switch_layers import SwitchGLU

SLIDING = "sliding_attention"


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # cohere2_moe; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of every routed expert, and of the shared MLP num_shared_experts times; key of the same name.
    intermediate_size: int
    # Inner width of dense layers, null for intermediate_size; key of the same name.
    prefix_dense_intermediate_size: int | None
    # With 1 dense layers rotate even where they see everything; key of the same name.
    prefix_dense_sliding_window_pattern: int
    # Factor on the logits; key of the same name.
    logit_scale: float
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # Key and value heads (grouped-query attention: each serves several query heads); key of the same name.
    num_key_value_heads: int
    # Width of a head; key of the same name.
    head_dim: int
    # Added to the variance in every LayerNorm; key of the same name.
    layer_norm_eps: float
    # Added to the mean square, where norms are RMSNorms; null for LayerNorms. Key of the same name.
    rms_norm_eps: float | None
    # Base of the rotary frequencies in layers that rotate; key of the same name, or inside rope_parameters.
    rope_theta: float
    # Projections of attention have biases; key of the same name.
    attention_bias: bool
    # Tokens that a sliding layer sees, the query included; key of the same name.
    sliding_window: int
    # For each layer sliding_attention or full_attention; key of the same name, or sliding_window_pattern.
    layer_types: list[str]
    # For each layer dense or sparse; key of the same name, or first_k_dense_replace.
    mlp_layer_types: list[str]
    # Experts of a sparse layer; key of the same name.
    num_experts: int
    # Experts that the router chooses for a token; key of the same name.
    num_experts_per_tok: int
    # How many experts' width the MLP has that every token passes, 0 for none; key of the same name.
    num_shared_experts: int
    # sum, or average: half of routed and shared together; key of the same name.
    shared_expert_combination_strategy: str
    # softmax over the chosen logits, or sigmoid of each; key of the same name.
    expert_selection_fn: str
    # The sigmoids of the chosen experts are divided by their sum; key of the same name.
    norm_topk_prob: bool
    # The output layer is the embedding; key of the same name, true where the config has none.
    tie_word_embeddings: bool

    def __post_init__(self) -> None:
        """Refuse kinds of layers, of selection and of combination that are not computed here."""
        for name, known in (
            ("expert_selection_fn", ("softmax", "sigmoid")),
            ("shared_expert_combination_strategy", ("average", "sum")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if set(self.layer_types) - {SLIDING, "full_attention"} or set(self.mlp_layer_types) - {"dense", "sparse"}:
            raise ValueError("layer_types and mlp_layer_types name a kind of layer that is not known")


def norm(args: ModelArgs) -> nn.Module:
    """Return the norm that the config says: RMS where it has an epsilon for it, else a LayerNorm without bias."""
    if args.rms_norm_eps is not None:
        return nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
    return nn.LayerNorm(args.hidden_size, eps=args.layer_norm_eps, bias=False)


class Attention(nn.Module):
    """Grouped-query attention, in a window with rotation or over everything without."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.heads, self.groups, self.scale = (
            args.num_attention_heads,
            args.num_key_value_heads,
            args.head_dim**-0.5,
        )
        dense = args.mlp_layer_types[index] == "dense" and args.prefix_dense_sliding_window_pattern == 1
        self.rotates = args.layer_types[index] == SLIDING or dense
        width, bias = args.hidden_size, args.attention_bias
        self.q_proj = nn.Linear(width, self.heads * args.head_dim, bias=bias)
        self.k_proj = nn.Linear(width, self.groups * args.head_dim, bias=bias)
        self.v_proj = nn.Linear(width, self.groups * args.head_dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * args.head_dim, width, bias=bias)
        self.rope = nn.RoPE(args.head_dim, traditional=True, base=args.rope_theta)

    def __call__(self, x: mx.array, mask: Any, cache: Any) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Heads [batch, heads, tokens, width]: queries, and fewer keys and values.
        batch, tokens, _ = x.shape
        queries, keys, values = (
            projection(x).reshape(batch, tokens, heads, -1).transpose(0, 2, 1, 3)
            for projection, heads in (
                (self.q_proj, self.heads), (self.k_proj, self.groups), (self.v_proj, self.groups)
            )
        )  # fmt: skip
        if self.rotates:
            offset = cache.offset if cache is not None else 0
            queries, keys = self.rope(queries, offset=offset), self.rope(keys, offset=offset)
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)
        out = scaled_dot_product_attention(queries, keys, values, cache=cache, scale=self.scale, mask=mask)
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(batch, tokens, -1))


class MLP(nn.Module):
    """A gated feed-forward with SiLU."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        return self.down_proj(nn.silu(self.gate_proj(x)) * self.up_proj(x))


class MoeBlock(nn.Module):
    """Routed experts, weighted among the chosen alone, and shared ones that are added or averaged in."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args, self.top_k = args, args.num_experts_per_tok
        self.gate = nn.Linear(args.hidden_size, args.num_experts, bias=False)
        self.switch_mlp = SwitchGLU(args.hidden_size, args.intermediate_size, args.num_experts)
        if args.num_shared_experts:
            self.shared_experts = MLP(args.hidden_size, args.intermediate_size * args.num_shared_experts)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # The k largest logits are chosen; their weights come from them alone, [batch, tokens, k].
        logits = self.gate(x)
        chosen = mx.argpartition(-logits, kth=self.top_k - 1, axis=-1)[..., : self.top_k]
        weights = self.weights(mx.take_along_axis(logits, chosen, axis=-1).astype(mx.float32)).astype(x.dtype)
        y = (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2)
        if "shared_experts" not in self:
            return y
        y = y + self.shared_experts(x)
        return y / 2 if self.args.shared_expert_combination_strategy == "average" else y

    def weights(self, logits: mx.array) -> mx.array:
        """Return the weights of the chosen experts from their logits, [..., experts_per_token]."""
        if self.args.expert_selection_fn == "softmax":
            return mx.softmax(logits, axis=-1, precise=True)
        scores = mx.sigmoid(logits)
        return scores / scores.sum(axis=-1, keepdims=True) if self.args.norm_topk_prob else scores


class DecoderLayer(nn.Module):
    """Attention and feed-forward side by side behind one norm."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(args, index)
        dense = args.mlp_layer_types[index] == "dense"
        inner = args.prefix_dense_intermediate_size or args.intermediate_size
        self.mlp = MLP(args.hidden_size, inner) if dense else MoeBlock(args)
        self.input_layernorm = norm(args)

    def __call__(self, x: mx.array, mask: Any, cache: Any) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # One norm for both; the two are added to the stream together.
        h = self.input_layernorm(x)
        return x + self.self_attn(h, mask, cache) + self.mlp(h)


class Backbone(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.kinds, self.window = args.layer_types, args.sliding_window
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args, index) for index in range(args.num_hidden_layers)]
        self.norm = norm(args)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        """Map token ids [batch, tokens] to [batch, tokens, hidden]."""
        # A mask for each kind of layer, from the first cache of its kind: all stand at one position.
        h = self.embed_tokens(inputs)
        cache = cache or [None] * len(self.layers)
        masks = {
            kind: create_attention_mask(
                h, cache[self.kinds.index(kind)], window_size=self.window if kind == SLIDING else None
            )
            for kind in set(self.kinds)
        }
        for layer, kind, each in zip(self.layers, self.kinds, cache, strict=True):
            h = layer(h, masks[kind], each)
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
        # The logits are scaled after the output layer.
        h = self.model(inputs, cache)
        tied = self.args.tie_word_embeddings
        return (self.model.embed_tokens.as_linear(h) if tied else self.lm_head(h)) * self.args.logit_scale

    def make_cache(self) -> list[Any]:
        """Return a cache for each layer: of the window alone in sliding layers, of everything in full ones."""
        window = self.args.sliding_window
        return [
            RotatingKVCache(max_size=window) if kind == SLIDING else KVCache() for kind in self.args.layer_types
        ]

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
