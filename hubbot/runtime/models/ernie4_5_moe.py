# SPDX-License-Identifier: Apache-2.0
"""ERNIE 4.5 mixture of experts for mlx-lm (Baidu, ERNIE 4.5 Technical Report, 2025).

ERNIE balances its experts without an auxiliary loss (arXiv:2408.15664): each expert carries a correction bias,
added to the router's probabilities for the choice of experts only; the chosen experts are weighted by their
probabilities without it, renormalised (transformers, models/ernie4_5_moe, Ernie4_5_MoeTopKRouter). mlx-lm's own
class throws the biases away and so routes tokens to other experts. Attention and MLP are mlx-lm's own; router,
layer and backbone are written here.

The bias is called `expert_bias` and keeps its stored shape [1, experts]: a loader that ignores `model_file`
finds a parameter it does not know and stops, where it would otherwise compute another function.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs, create_attention_mask
from mlx_lm.models.ernie4_5_moe import Attention, Ernie4_5_MLP
from mlx_lm.models.switch_layers import SwitchGLU


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # ernie4_5_moe; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of the MLP in a dense layer; key of the same name.
    intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # Key and value heads (grouped-query attention: each serves several query heads); key of the same name.
    num_key_value_heads: int
    # Width of one head; key of the same name, else hidden_size / num_attention_heads.
    head_dim: int
    # Longest context; the key of the same name. mlx-lm's attention asks for it;
    # without scaling of rope nothing depends on it.
    max_position_embeddings: int
    # Added to the mean square in every RMSNorm; key of the same name.
    rms_norm_eps: float
    # Base of the rotary frequencies; key of the same name.
    rope_theta: float
    # The projections of attention, MLPs and shared experts have biases; key of the same name.
    use_bias: bool
    # Routed experts of a layer; key of the same name.
    moe_num_experts: int
    # Width of the shared MLP, in experts, 0 for none; key of the same name.
    moe_num_shared_experts: int
    # Inner width of one expert; key of the same name.
    moe_intermediate_size: int
    # Experts that the router chooses for a token; key of the same name.
    moe_k: int
    # Least sum by which the chosen experts' weights are divided; key of the same name.
    moe_norm_min: float
    # First layer that may hold experts; key of the same name.
    moe_layer_start_index: int
    # Last layer that may hold experts, -1 for the model's last; key of the same name.
    moe_layer_end_index: int
    # Within these, layer i holds experts where i + 1 is a multiple of this; key of the same name.
    moe_layer_interval: int
    # The output layer is the embedding; key of the same name, true where the config has none.
    tie_word_embeddings: bool

    def __post_init__(self) -> None:
        """Read a last layer of -1 as the model's last."""
        if self.moe_layer_end_index == -1:
            self.moe_layer_end_index = self.num_hidden_layers - 1


def has_experts(args: ModelArgs, index: int) -> bool:
    """Say whether the layer of that number holds experts."""
    within = args.moe_layer_start_index <= index <= args.moe_layer_end_index
    return within and (index + 1) % args.moe_layer_interval == 0


class MoeBlock(nn.Module):
    """Routed experts chosen by probability plus bias and weighted by probability, beside shared experts."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        width, count = args.moe_intermediate_size, args.moe_num_experts
        self.top_k = args.moe_k
        self.norm_min = args.moe_norm_min
        self.gate = nn.Linear(args.hidden_size, count, bias=False)
        self.expert_bias = mx.zeros((1, count))
        self.switch_mlp = SwitchGLU(args.hidden_size, width, count)
        if args.moe_num_shared_experts > 0:
            self.shared_experts = Ernie4_5_MLP(
                args.hidden_size, width * args.moe_num_shared_experts, args.use_bias
            )

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # The router looks at every expert: [batch, tokens, experts] in float32.
        probabilities = mx.softmax(self.gate(x.astype(mx.float32)), axis=-1, precise=True)
        # The bias decides who is chosen (the top k), and never how much a chosen expert weighs.
        preference = probabilities + self.expert_bias[0].astype(mx.float32)
        chosen = mx.argpartition(-preference, kth=self.top_k - 1, axis=-1)[..., : self.top_k]
        weights = mx.take_along_axis(probabilities, chosen, axis=-1)
        # The k weights add up to 1; a tiny sum is not blown up.
        weights = weights / mx.maximum(weights.sum(axis=-1, keepdims=True), self.norm_min)
        # Experts [batch, tokens, k, hidden], weighted and added; then what every token passes.
        y = (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2).astype(x.dtype)
        return y + self.shared_experts(x) if "shared_experts" in self else y


class DecoderLayer(nn.Module):
    """Attention and a dense or mixture-of-experts feed-forward, each before its own norm."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(args)
        self.mlp = (
            MoeBlock(args)
            if has_experts(args, index)
            else Ernie4_5_MLP(args.hidden_size, args.intermediate_size, args.use_bias)
        )
        self.input_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array, mask: Any, cache: Any) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Norm, attention, residual; norm, feed-forward, residual.
        h = x + self.self_attn(self.input_layernorm(x), mask, cache)
        return h + self.mlp(self.post_attention_layernorm(h))


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
        # One mask serves all layers: their caches hold the same tokens.
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
