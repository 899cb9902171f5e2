# SPDX-License-Identifier: Apache-2.0
"""Granite 4 with Mamba layers in several groups, for mlx-lm (IBM, 2025).

A Mamba-2 layer of several groups norms its gated output group by group (transformers, models/granitemoehybrid,
GraniteMoeHybridRMSNormGated). mlx-lm's class norms all groups together, which no change of weights undoes: the
mean square depends on the text. Everything but that norm is mlx-lm's own.

The norm is called `group_norm`: a loader that ignores `model_file` finds a parameter it does not know and stops.
Once mlx-lm's granitemoehybrid norms by group, hubbot makes the stock form again.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models import granitemoehybrid
from mlx_lm.models.base import BaseModelArgs
from mlx_lm.models.granitemoehybrid import GraniteMoeHybridMamba2Mixer


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # granitemoehybrid; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of the residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of every expert; key of the same name.
    intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Longest context; key of the same name, which mlx-lm's rope asks for.
    max_position_embeddings: int
    # Query heads of a layer with attention; key of the same name.
    num_attention_heads: int
    # Key and value heads (grouped-query attention: each serves several query heads); key of the same name.
    num_key_value_heads: int
    # Projections of attention have biases; key of the same name.
    attention_bias: bool
    # Factor on the embeddings; key of the same name.
    embedding_multiplier: float
    # Factor on the scores of attention; key of the same name.
    attention_multiplier: float
    # Divisor of the logits; key of the same name.
    logits_scaling: float
    # Factor on what a layer adds to the residual stream; key of the same name.
    residual_multiplier: float
    # For each layer mamba or attention; key of the same name.
    layer_types: list[str]
    # Added to the mean square in every RMSNorm; key of the same name.
    rms_norm_eps: float
    # Experts of a layer; key of the same name.
    num_local_experts: int
    # Experts that the router chooses for a token; key of the same name.
    num_experts_per_tok: int
    # Inner width of the MLP that every token passes; key of the same name.
    shared_intermediate_size: int
    # Heads of a Mamba layer; key of the same name.
    mamba_n_heads: int
    # Width of such a head; key of the same name.
    mamba_d_head: int
    # Projections of Mamba have biases; key of the same name.
    mamba_proj_bias: bool
    # Width of the state of a Mamba head; key of the same name.
    mamba_d_state: int
    # Tokens that the convolution of a Mamba layer sees; key of the same name.
    mamba_d_conv: int
    # Groups of heads that share what writes to and reads from their state, normed by group; key of the same name.
    mamba_n_groups: int
    # That convolution has a bias; key of the same name.
    mamba_conv_bias: bool
    # rope or nope, no positions; key of the same name.
    position_embedding_type: str
    # The output layer is the embedding; key of the same name.
    tie_word_embeddings: bool
    # Least and largest step of time; hubbot writes what transformers computes with.
    time_step_limit: list[float]
    # Base of the rotary frequencies; key of the same name, or inside rope_parameters.
    rope_theta: float

    # A dense MLP has no experts; mlx-lm's classes ask, and no row of hubbot's says otherwise.
    @property
    def use_moe(self) -> bool:
        """Say that every layer has experts."""
        return True


class GroupNorm(nn.Module):
    """An RMSNorm of each group by itself, behind a gate."""

    def __init__(self, width: int, groups: int, eps: float) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = mx.ones(width)

    def __call__(self, x: mx.array, gate: mx.array) -> mx.array:
        """Map [batch, tokens, width] to the same shape."""
        # Gate; then each group [batch, tokens, groups, width / groups] over its own mean square.
        gated = mx.unflatten(nn.silu(gate) * x, -1, (self.groups, -1))
        return self.weight * mx.fast.rms_norm(gated, None, self.eps).flatten(-2)


class Mixer(GraniteMoeHybridMamba2Mixer):
    """mlx-lm's Mamba-2 layer with that norm in place of its own."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__(args)
        del self["norm"]
        self.group_norm = GroupNorm(self.intermediate_size, args.mamba_n_groups, args.rms_norm_eps)

    @property
    def norm(self) -> GroupNorm:
        """Return the norm that mlx-lm's layer asks for under this name."""
        return self.group_norm


class Model(granitemoehybrid.Model):
    """The language model that mlx-lm loads; its weights are stored under exactly these names."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__(args)
        for layer in self.layers:
            if layer.layer_type == "mamba":
                layer.mamba = Mixer(args)

    def sanitize(self, weights: dict[str, Any]) -> dict[str, Any]:
        """Return the weights as they are: hubbot stores them as this class has them."""
        return weights
