# SPDX-License-Identifier: Apache-2.0
"""Phi-3.5-MoE with its long context, and Phi-mini-MoE with its window, for mlx-lm (Microsoft, 2024).

LongRoPE (arXiv:2402.13753) rotates by two sets of frequencies: short_factor while a context is no longer than
original_max_position_embeddings, long_factor beyond it, each with a factor of its own on the rotated vectors
(microsoft/Phi-3.5-MoE-instruct, modeling_phimoe.py). mlx-lm's own class takes long_factor always, and has no
sliding window. Router and experts are mlx-lm's own; attention, layer and backbone are written here.

As in Microsoft's code, keys stay in the cache as they were rotated when the context was shorter. transformers 5
takes short_factor beyond that length too; up to it all three agree. The router is called `router`, not `gate`: a
loader that ignores `model_file` finds a parameter it does not know and stops. Once mlx-lm's phimoe chooses the
factors by length and reads sliding_window, hubbot makes the stock form again.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs, create_attention_mask, scaled_dot_product_attention
from mlx_lm.models.cache import KVCache, RotatingKVCache
from mlx_lm.models.phimoe import sparsemixer
from mlx_lm.models.switch_layers import SwitchGLU


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # phimoe; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of every expert; key of the same name.
    intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # Key and value heads (grouped-query attention: each serves several query heads); key of the same name.
    num_key_value_heads: int
    # Longest context that the short factors are for; key of the same name, here or inside the rope's.
    original_max_position_embeddings: int
    # Added to the variance in every LayerNorm; key of the same name.
    rms_norm_eps: float
    # Base of the rotary frequencies; key of the same name, or inside rope_parameters.
    rope_theta: float
    # Scaling of the rotary frequencies, null for none; key of the same name, or rope_parameters.
    rope_scaling: dict[str, Any] | None
    # Experts of a layer; key of the same name.
    num_local_experts: int
    # Experts that the router chooses for a token; key of the same name.
    num_experts_per_tok: int
    # How near to the best score SparseMixer compares others; key of the same name.
    router_jitter_noise: float
    # Tokens that a query sees, itself included, null for all; key of the same name.
    sliding_window: int | None
    # Projections of attention have biases; key of the same name.
    attention_bias: bool
    # The output layer has a bias; key of the same name.
    lm_head_bias: bool

    def __post_init__(self) -> None:
        """Refuse scalings that are not computed here, and factors that are not one for each pair of channels."""
        if self.rope_scaling is None:
            return
        kind = self.rope_scaling.get("rope_type") or self.rope_scaling.get("type")
        if kind != "longrope":
            raise ValueError(f"rope_scaling: only longrope is computed here, not {kind!r}")
        pairs = self.hidden_size // self.num_attention_heads // 2
        for name in ("short_factor", "long_factor"):
            if len(self.rope_scaling[name]) != pairs:
                raise ValueError(f"rope_scaling.{name} must hold {pairs} numbers")


class Rotary:
    """Rotary positions, by the frequencies that belong to the length of the context."""

    def __init__(self, args: ModelArgs) -> None:
        self.width = args.hidden_size // args.num_attention_heads
        base = args.rope_theta ** (mx.arange(0, self.width, 2, dtype=mx.float32) / self.width)
        scaling = args.rope_scaling
        self.limit = args.original_max_position_embeddings
        self.short, self.long = (base, 1.0), (base, 1.0)
        if scaling:
            self.short = (base * mx.array(scaling["short_factor"], mx.float32), scaling["short_mscale"])
            self.long = (base * mx.array(scaling["long_factor"], mx.float32), scaling["long_mscale"])

    def __call__(self, x: mx.array, offset: int) -> mx.array:
        """Rotate [batch, heads, tokens, width], whose first token stands at `offset`."""
        # The context ends with the last token given; all of them are rotated by its factors.
        freqs, scale = self.long if offset + x.shape[2] > self.limit else self.short
        turned = mx.fast.rope(x, self.width, traditional=False, base=None, scale=1.0, offset=offset, freqs=freqs)
        return turned if scale == 1.0 else turned * scale


class Attention(nn.Module):
    """Causal grouped-query attention."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        width, bias = args.hidden_size, args.attention_bias
        self.heads, self.groups = args.num_attention_heads, args.num_key_value_heads
        head = width // self.heads
        self.scale = head**-0.5
        self.q_proj = nn.Linear(width, self.heads * head, bias=bias)
        self.k_proj = nn.Linear(width, self.groups * head, bias=bias)
        self.v_proj = nn.Linear(width, self.groups * head, bias=bias)
        self.o_proj = nn.Linear(self.heads * head, width, bias=bias)
        self._rotary = Rotary(args)

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
        offset = cache.offset if cache is not None else 0
        queries, keys = self._rotary(queries, offset), self._rotary(keys, offset)
        if cache is not None:
            keys, values = cache.update_and_fetch(keys, values)
        out = scaled_dot_product_attention(queries, keys, values, cache=cache, scale=self.scale, mask=mask)
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(batch, tokens, -1))


class MoeBlock(nn.Module):
    """Experts chosen one after the other by SparseMixer (arXiv:2409.12136), at inference."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.top_k, self.jitter = args.num_experts_per_tok, args.router_jitter_noise
        self.router = nn.Linear(args.hidden_size, args.num_local_experts, bias=False)
        self.switch_mlp = SwitchGLU(args.hidden_size, args.intermediate_size, args.num_local_experts)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Experts [batch, tokens, k] and their weights; then their outputs, weighted and added.
        chosen, weights = sparsemixer(self.router(x), top_k=self.top_k, jitter_eps=self.jitter)
        return (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2)


class DecoderLayer(nn.Module):
    """Attention and experts, each before its own LayerNorm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.self_attn = Attention(args)
        self.block_sparse_moe = MoeBlock(args)
        self.input_layernorm = nn.LayerNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array, mask: Any, cache: Any) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Norm, attention, residual; norm, feed-forward, residual.
        h = x + self.self_attn(self.input_layernorm(x), mask, cache)
        return h + self.block_sparse_moe(self.post_attention_layernorm(h))


class Backbone(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.window = args.sliding_window
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args) for _ in range(args.num_hidden_layers)]
        self.norm = nn.LayerNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        """Map token ids [batch, tokens] to [batch, tokens, hidden]."""
        # One mask for all layers, whose caches stand at one position.
        h = self.embed_tokens(inputs)
        cache = cache or [None] * len(self.layers)
        mask = create_attention_mask(h, cache[0], window_size=self.window)
        for layer, each in zip(self.layers, cache, strict=True):
            h = layer(h, mask, each)
        return self.norm(h)


class Model(nn.Module):
    """The language model that mlx-lm loads; its weights are stored under exactly these names."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args = args
        self.model_type = args.model_type
        self.model = Backbone(args)
        self.lm_head = nn.Linear(args.hidden_size, args.vocab_size, bias=args.lm_head_bias)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        """Map token ids [batch, tokens] to logits [batch, tokens, vocabulary]."""
        return self.lm_head(self.model(inputs, cache))

    def make_cache(self) -> list[Any]:
        """Return a cache for each layer, of the window alone where there is one."""
        window = self.args.sliding_window
        return [RotatingKVCache(max_size=window) if window else KVCache() for _ in self.layers]

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
