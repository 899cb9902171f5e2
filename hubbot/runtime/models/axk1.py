# SPDX-License-Identifier: Apache-2.0
"""A.X K1 for mlx-lm (SK Telecom, 2026): DeepSeek-V3 with one more norm behind the experts.

In a layer with experts the sum of routed and shared experts goes through an RMSNorm, `post_mlp_layernorm`, before
it is added to the residual stream; a dense layer has none (transformers, models/axk1, AXK1MoE). The published
checkpoint routes without correction biases, what transformers writes has them: `has_correction_bias` says which.
Attention and MLP are those of mlx-lm's deepseek_v3; router, experts' block and layer are written here.

mlx-lm has no class of this name, so a loader that ignores `model_file` stops. Once it has one that calls its
parameters the same, the same weights and config run without this file.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs, create_attention_mask
from mlx_lm.models.deepseek_v3 import DeepseekV3Attention, DeepseekV3MLP
from mlx_lm.models.switch_layers import SwitchGLU


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # axk1; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
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
    # The weights of the chosen experts are divided by their sum; key of the same name.
    norm_topk_prob: bool
    # Groups that the experts are in; key of the same name, 1 for no groups.
    n_group: int
    # Groups whose experts can be chosen; key of the same name.
    topk_group: int
    # Experts that the router chooses for a token; key of the same name.
    num_experts_per_tok: int
    # The router has correction biases; hubbot writes it, by whether the checkpoint has them.
    has_correction_bias: bool
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
    # The output layer is the embedding; key of the same name, false where the config has none.
    tie_word_embeddings: bool


class Router(nn.Module):
    """Chooses experts by sigmoid score plus correction bias, within the best groups, and weights them by score."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.top_k, self.groups, self.kept = args.num_experts_per_tok, args.n_group, args.topk_group
        self.renormalises, self.factor = args.norm_topk_prob, args.routed_scaling_factor
        self.weight = mx.zeros((args.n_routed_experts, args.hidden_size))
        if args.has_correction_bias:
            self.e_score_correction_bias = mx.zeros((args.n_routed_experts,))

    def __call__(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Map [..., hidden] to the chosen experts and their weights, [..., experts_per_token] each."""
        # Scores of all experts [..., experts]; the bias and the groups decide the choice, never the weights.
        scores = mx.sigmoid(x.astype(mx.float32) @ self.weight.astype(mx.float32).T)
        preference = scores + self.e_score_correction_bias if "e_score_correction_bias" in self else scores
        if self.groups > self.kept:
            preference = self.within_groups(preference)
        chosen = mx.argpartition(-preference, kth=self.top_k - 1, axis=-1)[..., : self.top_k]
        weights = mx.take_along_axis(scores, chosen, axis=-1)
        if self.renormalises:
            weights = weights / (weights.sum(axis=-1, keepdims=True) + 1e-20)
        return chosen, weights * self.factor

    def within_groups(self, preference: mx.array) -> mx.array:
        """Return the preferences with minus infinity outside the groups whose two best experts sum up highest."""
        grouped = preference.reshape(*preference.shape[:-1], self.groups, -1)
        best = mx.topk(grouped, 2, axis=-1).sum(axis=-1)
        lost = mx.argpartition(best, kth=self.groups - self.kept - 1, axis=-1)[..., : self.groups - self.kept]
        out = mx.put_along_axis(grouped, lost[..., None], mx.array(-mx.inf), axis=-2)
        return out.reshape(preference.shape)


class MoeBlock(nn.Module):
    """Routed and shared experts, and a norm of their sum."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        width = args.moe_intermediate_size
        self.gate = Router(args)
        self.switch_mlp = SwitchGLU(args.hidden_size, width, args.n_routed_experts)
        self.shared_experts = DeepseekV3MLP(config=args, intermediate_size=width * args.n_shared_experts)
        self.post_mlp_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        chosen, weights = self.gate(x)
        # Experts [batch, tokens, k, hidden], weighted and added; then the shared ones.
        y = (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2).astype(x.dtype)
        return self.post_mlp_layernorm(y + self.shared_experts(x))


class DecoderLayer(nn.Module):
    """Attention and a dense or mixture-of-experts feed-forward, each before its own norm."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.self_attn = DeepseekV3Attention(args)
        self.mlp = MoeBlock(args) if index >= args.first_k_dense_replace else DeepseekV3MLP(args)
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
        # One mask for all layers, whose caches stand at one position.
        h = self.embed_tokens(inputs)
        cache = cache or [None] * len(self.layers)
        mask = create_attention_mask(h, cache[0], return_array=True)
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
        # Tied models answer with the embedding.
        h = self.model(inputs, cache)
        return self.model.embed_tokens.as_linear(h) if self.args.tie_word_embeddings else self.lm_head(h)

    @property
    def cast_predicate(self) -> Any:
        """Return which parameters may be cast: the router's correction biases stay as they are stored."""
        return lambda name: "e_score_correction_bias" not in name

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
