# SPDX-License-Identifier: Apache-2.0
"""Jamba for mlx-lm: Mamba and attention layers, dense and mixture-of-experts feed-forwards (arXiv:2403.19887).

mlx-lm's own class takes the softmax over the chosen router logits alone, so that the weights of the chosen
experts add up to 1. Jamba takes it over all experts, then chooses, and leaves the weights as they are
(transformers, models/jamba, JambaTopKRouter): what the experts add to the residual stream is small where the
router is unsure. mlx-lm also counts the layers that hold experts from the other end of the period. Attention,
Mamba mixer and MLP are mlx-lm's own; block, layer and backbone are written here.

The router is called `gate`, not `router`: a loader that ignores `model_file` finds a parameter it does not know
and stops, where it would otherwise compute another function.
"""

import math
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs, create_attention_mask, create_ssm_mask
from mlx_lm.models.cache import ArraysCache, KVCache
from mlx_lm.models.jamba import JambaAttention, JambaMambaMixer, JambaMLP
from mlx_lm.models.switch_layers import SwitchGLU


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # jamba; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of a dense MLP and of every expert; key of the same name.
    intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # Key and value heads (grouped-query attention: each serves several query heads); key of the same name.
    num_key_value_heads: int
    # Layer i is attention where i % attn_layer_period is this number, else Mamba; key of the same name.
    attn_layer_offset: int
    # One layer of so many is attention; key of the same name.
    attn_layer_period: int
    # Layer i holds experts where i % expert_layer_period is this number; key of the same name.
    expert_layer_offset: int
    # One layer of so many holds experts, the others a dense MLP; key of the same name.
    expert_layer_period: int
    # Tokens that Mamba's causal convolution sees; key of the same name.
    mamba_d_conv: int
    # Size of Mamba's recurrent state for each channel; key of the same name.
    mamba_d_state: int
    # Mamba's inner width over the hidden size; key of the same name.
    mamba_expand: int
    # Rank of the projection that makes the step size; key of the same name, "auto" is hidden_size / 16 rounded up.
    mamba_dt_rank: int | str
    # The convolution has a bias; key of the same name.
    mamba_conv_bias: bool
    # Mamba's projections in and out have biases; key of the same name.
    mamba_proj_bias: bool
    # Experts of a layer that holds experts; with 1 every layer is dense. Key of the same name.
    num_experts: int
    # Experts that the router chooses for a token; key of the same name.
    num_experts_per_tok: int
    # Added to the mean square in every RMSNorm; key of the same name.
    rms_norm_eps: float
    # The output layer is the embedding; key of the same name, false where the config has none.
    tie_word_embeddings: bool

    def __post_init__(self) -> None:
        """Resolve the rank of the step size's projection, which a config may leave to the hidden size."""
        if self.mamba_dt_rank == "auto":
            self.mamba_dt_rank = math.ceil(self.hidden_size / 16)


class MoeBlock(nn.Module):
    """Experts weighted by the router's probabilities as they are: softmax over all, then the top k."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.top_k = args.num_experts_per_tok
        self.gate = nn.Linear(args.hidden_size, args.num_experts, bias=False)
        self.switch_mlp = SwitchGLU(args.hidden_size, args.intermediate_size, args.num_experts)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Softmax over all experts [batch, tokens, experts], before any is chosen.
        probabilities = mx.softmax(self.gate(x), axis=-1, precise=True)
        # The top k keep their probabilities as they are: [batch, tokens, k].
        chosen = mx.argpartition(-probabilities, kth=self.top_k - 1, axis=-1)[..., : self.top_k]
        weights = mx.take_along_axis(probabilities, chosen, axis=-1)
        # Experts [batch, tokens, k, hidden], weighted and added.
        y = self.switch_mlp(x, chosen)
        return (y * weights[..., None]).sum(axis=-2).astype(x.dtype)


class DecoderLayer(nn.Module):
    """A Mamba or attention mixer and a dense or mixture-of-experts feed-forward, each before its own norm."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.is_attn = index % args.attn_layer_period == args.attn_layer_offset
        if self.is_attn:
            self.self_attn = JambaAttention(args)
        else:
            self.mamba = JambaMambaMixer(args)
        has_experts = args.num_experts > 1 and index % args.expert_layer_period == args.expert_layer_offset
        self.feed_forward = MoeBlock(args) if has_experts else JambaMLP(args)
        self.input_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.pre_ff_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array, mask: Any, cache: Any) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Norm, attention or Mamba, residual; norm, feed-forward, residual.
        mixed = self.input_layernorm(x)
        h = x + (self.self_attn(mixed, mask, cache) if self.is_attn else self.mamba(mixed, cache))
        return h + self.feed_forward(self.pre_ff_layernorm(h))


class Backbone(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args, index) for index in range(args.num_hidden_layers)]
        self.final_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        """Map token ids [batch, tokens] to [batch, tokens, hidden]."""
        h = self.embed_tokens(inputs)
        cache = cache or [None] * len(self.layers)
        # Two kinds of mask, each from the first cache of its kind: all layers of a kind stand at one position.
        first = {layer.is_attn: each for layer, each in reversed(list(zip(self.layers, cache, strict=True)))}
        masks = {True: create_attention_mask(h, first.get(True)), False: create_ssm_mask(h, first.get(False))}
        for layer, each in zip(self.layers, cache, strict=True):
            h = layer(h, masks[layer.is_attn], each)
        return self.final_layernorm(h)


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

    def make_cache(self) -> list[Any]:
        """Return an empty cache: keys and values for attention, convolution and state for Mamba."""
        return [KVCache() if layer.is_attn else ArraysCache(size=2) for layer in self.layers]

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
