# SPDX-License-Identifier: Apache-2.0
"""GLM-5.2 for mlx-lm: sparse attention in which most layers reuse the choice of an earlier one (Z.ai, 2026).

Each query attends to the index_topk keys that an indexer scores highest (DeepSeek-V3.2, arXiv:2512.02556). GLM-5.2
gives an indexer to few layers only, by `indexer_types`: a "full" layer chooses, and the "shared" layers after it
attend to the same keys (transformers, models/glm_moe_dsa, GlmMoeDsaAttention). mlx-lm's own class gives each layer
an indexer of its own. Indexer, MLP and experts are mlx-lm's own; attention, layer and backbone are written here.

The choice travels with the hidden states from layer to layer, None while the context is no longer than index_topk.
A loader that ignores `model_file` misses the indexers of the shared layers and stops. Once mlx-lm's glm_moe_dsa
reads `indexer_types`, the same weights and config run without this file.
"""

import math
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs, create_attention_mask, scaled_dot_product_attention
from mlx_lm.models.cache import CacheList, KVCache
from mlx_lm.models.deepseek_v32 import DeepseekV32MLP, DeepseekV32MoE, Indexer
from mlx_lm.models.mla import MultiLinear
from mlx_lm.models.rope_utils import initialize_rope


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # glm_moe_dsa; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Width of a head of an indexer; key of the same name.
    index_head_dim: int
    # Heads of an indexer; key of the same name.
    index_n_heads: int
    # Keys that a query attends to; key of the same name.
    index_topk: int
    # An indexer rotates neighbouring channels, not halves; key of the same name.
    indexer_rope_interleave: bool
    # For each layer full (chooses) or shared (takes the last choice); key of the same name, or index_topk_freq.
    indexer_types: list[str]
    # Inner width of a dense MLP; key of the same name.
    intermediate_size: int
    # Inner width of every routed expert; the shared ones have it n_shared_experts times. Key of the same name.
    moe_intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # How many experts' width the MLP has that every token passes; key of the same name.
    n_shared_experts: int
    # Experts of a layer that holds experts; key of the same name.
    n_routed_experts: int
    # Factor on the weights of the chosen experts; key of the same name.
    routed_scaling_factor: float
    # Width of the latent that keys and values are made of; key of the same name.
    kv_lora_rank: int
    # Width of the latent that queries are made of; key of the same name.
    q_lora_rank: int
    # Rotated part of a head of queries and keys; key of the same name.
    qk_rope_head_dim: int
    # Width of a head of values; key of the same name.
    v_head_dim: int
    # Part of a head of queries and keys that has no position; key of the same name.
    qk_nope_head_dim: int
    # noaux_tc, which mlx-lm's router asks for: correction biases; key of the same name.
    topk_method: str
    # The weights of the chosen experts are divided by their sum; key of the same name.
    norm_topk_prob: bool
    # Groups that the experts are in; key of the same name, 1 for no groups.
    n_group: int
    # Groups whose experts can be chosen; key of the same name.
    topk_group: int
    # Experts that the router chooses for a token; key of the same name.
    num_experts_per_tok: int
    # One layer of so many holds experts, after those at the start; key of the same name.
    moe_layer_freq: int
    # Layers at the start without experts; key of the same name, or counted in transformers' mlp_layer_types.
    first_k_dense_replace: int
    # Longest context; key of the same name, which yarn asks for.
    max_position_embeddings: int
    # Added to the mean square in every RMSNorm but those of latents, which have 1e-6; key of the same name.
    rms_norm_eps: float
    # Base of the rotary frequencies; key of the same name, or inside rope_parameters.
    rope_theta: float
    # Scaling of the rotary frequencies, null for none; key of the same name, or rope_parameters.
    rope_scaling: dict[str, Any] | None
    # Projections of attention have biases; key of the same name.
    attention_bias: bool

    def __post_init__(self) -> None:
        """Refuse a first layer that has nothing to share, and kinds that there are not."""
        if len(self.indexer_types) != self.num_hidden_layers or set(self.indexer_types) - {"full", "shared"}:
            raise ValueError(f"indexer_types must say full or shared for each layer, not {self.indexer_types!r}")
        if self.indexer_types[0] != "full":
            raise ValueError("indexer_types: the first layer must be full, there is no choice to share yet")


def attention_scale(args: ModelArgs) -> float:
    """Return the factor of the scores: one over the root of a head's width, corrected for yarn's mscale."""
    scale = (args.qk_nope_head_dim + args.qk_rope_head_dim) ** -0.5
    scaling = args.rope_scaling or {}
    factor, mscale = scaling.get("factor", 1.0), scaling.get("mscale_all_dim", 0)
    if mscale and factor > 1:
        scale *= (0.1 * mscale * math.log(factor) + 1.0) ** 2
    return scale


class Attention(nn.Module):
    """Latent attention to the keys that this layer's indexer chooses, or that an earlier layer's chose."""

    def __init__(self, args: ModelArgs, has_indexer: bool) -> None:
        super().__init__()
        self.heads, self.rank = args.num_attention_heads, args.kv_lora_rank
        self.nope, self.rotated = args.qk_nope_head_dim, args.qk_rope_head_dim
        self.scale = attention_scale(args)
        width, bias = args.hidden_size, args.attention_bias
        self.q_a_proj = nn.Linear(width, args.q_lora_rank, bias=bias)
        self.q_a_layernorm = nn.RMSNorm(args.q_lora_rank, eps=1e-6)
        self.q_b_proj = nn.Linear(args.q_lora_rank, self.heads * (self.nope + self.rotated), bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(width, self.rank + self.rotated, bias=bias)
        self.kv_a_layernorm = nn.RMSNorm(self.rank, eps=1e-6)
        self.embed_q = MultiLinear(self.nope, self.rank, self.heads)
        self.unembed_out = MultiLinear(self.rank, args.v_head_dim, self.heads)
        self.o_proj = nn.Linear(self.heads * args.v_head_dim, width, bias=bias)
        self.rope = initialize_rope(
            dims=self.rotated,
            base=args.rope_theta,
            traditional=True,
            max_position_embeddings=args.max_position_embeddings,
            scaling_config=args.rope_scaling,
        )
        if has_indexer:
            self.indexer = Indexer(args)

    def __call__(self, x: mx.array, chosen: Any, mask: Any, cache: Any) -> tuple[mx.array, Any]:
        """Map [batch, tokens, hidden] to the same shape; `chosen` is what an earlier layer attends to, or None.

        The second value is what this layer attends to: indices of keys [batch, 1, tokens, index_topk], or None for
        all of them.
        """
        # Queries from their latent, in a part without and a part with positions, [batch, heads, tokens, width].
        batch, tokens, _ = x.shape
        compressed = self.q_a_layernorm(self.q_a_proj(x))
        queries = self.q_b_proj(compressed).reshape(batch, tokens, self.heads, -1).transpose(0, 2, 1, 3)
        q_nope, q_rope = mx.split(queries, [self.nope], axis=-1)
        # One latent and one rotated key for all heads, [batch, 1, tokens, width]: these are what is cached.
        latent, k_rope = mx.split(self.kv_a_proj_with_mqa(x), [self.rank], axis=-1)
        latent, k_rope = self.kv_a_layernorm(latent)[:, None], k_rope[:, None]
        keys_cache = cache[0] if cache is not None else None
        offset = keys_cache.offset if keys_cache is not None else 0
        q_rope, k_rope = self.rope(q_rope, offset), self.rope(k_rope, offset)
        if keys_cache is not None:
            latent, k_rope = keys_cache.update_and_fetch(latent, k_rope)
        if "indexer" in self:
            own = cache[1] if cache is not None else None
            chosen = self.indexer(x, compressed, mask, cache=own)
            if own is not None and keys_cache is not None:
                # The indexer's cache is evaluated with the keys, even while its choice is not asked for.
                keys_cache.keys = mx.depends(keys_cache.keys, (own.keys, own.values))
        out = self.attend(q_nope, q_rope, *restricted(latent, k_rope, mask, chosen, tokens))
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)), chosen

    def attend(
        self, q_nope: mx.array, q_rope: mx.array, latent: mx.array, k_rope: mx.array, mask: Any
    ) -> mx.array:
        """Return [batch, heads, tokens, v_head_dim]; a single token stays in the latent space: it is cheaper."""
        scores = (q_rope * self.scale) @ k_rope.swapaxes(-1, -2)
        if mask is not None:
            scores = mx.where(mask, scores, mx.array(mx.finfo(scores.dtype).min, scores.dtype))
        if q_nope.shape[2] == 1:
            out = scaled_dot_product_attention(
                self.embed_q(q_nope), latent, latent, cache=None, scale=self.scale, mask=scores
            )
            return self.unembed_out(out)
        keys, values = self.embed_q(latent, transpose=False), self.unembed_out(latent)
        return scaled_dot_product_attention(q_nope, keys, values, cache=None, scale=self.scale, mask=scores)


def restricted(
    latent: mx.array, k_rope: mx.array, mask: Any, chosen: Any, tokens: int
) -> tuple[mx.array, mx.array, Any]:
    """Return latents, rotated keys and mask of the chosen keys: gathered for one token, masked for several."""
    if chosen is None:
        return latent, k_rope, mask
    if tokens == 1:
        index = chosen[:, :, 0, :, None]
        latent, k_rope = (
            mx.take_along_axis(each, mx.broadcast_to(index, (*index.shape[:-1], each.shape[-1])), axis=2)
            for each in (latent, k_rope)
        )
        return latent, k_rope, None if mask is None else mx.take_along_axis(mask, chosen, axis=-1)
    allowed = mx.zeros((*chosen.shape[:-1], latent.shape[2]), dtype=mx.bool_)
    allowed = mx.put_along_axis(allowed, chosen, mx.array(True), axis=-1)
    return latent, k_rope, allowed if mask is None else allowed & mask


class DecoderLayer(nn.Module):
    """Attention and a dense or mixture-of-experts feed-forward, each before its own norm."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        sparse = index >= args.first_k_dense_replace and index % args.moe_layer_freq == 0
        self.self_attn = Attention(args, args.indexer_types[index] == "full")
        self.mlp = DeepseekV32MoE(args) if sparse else DeepseekV32MLP(args)
        self.input_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array, chosen: Any, mask: Any, cache: Any) -> tuple[mx.array, Any]:
        """Map [batch, tokens, hidden] to the same shape, and pass on which keys were attended to."""
        # Norm, attention, residual; norm, feed-forward, residual.
        out, chosen = self.self_attn(self.input_layernorm(x), chosen, mask, cache)
        h = x + out
        return h + self.mlp(self.post_attention_layernorm(h)), chosen


class Backbone(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args, index) for index in range(args.num_hidden_layers)]
        self.norm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        """Map token ids [batch, tokens] to [batch, tokens, hidden]."""
        # What a full layer chose goes on to the layers after it.
        h, chosen = self.embed_tokens(inputs), None
        cache = cache or [None] * len(self.layers)
        mask = create_attention_mask(h, cache[0][0] if cache[0] else None, return_array=True)
        for layer, each in zip(self.layers, cache, strict=True):
            h, chosen = layer(h, chosen, mask, each)
        return self.norm(h)


class Model(nn.Module):
    """The language model that mlx-lm loads; its weights are stored under exactly these names."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args = args
        self.model_type = args.model_type
        self.model = Backbone(args)
        self.lm_head = nn.Linear(args.hidden_size, args.vocab_size, bias=False)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        """Map token ids [batch, tokens] to logits [batch, tokens, vocabulary]."""
        return self.lm_head(self.model(inputs, cache))

    def make_cache(self) -> list[CacheList]:
        """Return a cache for each layer: of latents, and in full layers of the indexer's keys."""
        return [
            CacheList(*(KVCache() for _ in range(1 + ("indexer" in layer.self_attn)))) for layer in self.layers
        ]

    @property
    def cast_predicate(self) -> Any:
        """Return which parameters may be cast: the router's correction biases stay as they are stored."""
        return lambda name: "e_score_correction_bias" not in name

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
