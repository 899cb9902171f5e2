# SPDX-License-Identifier: Apache-2.0
"""DeepSeek-V4 for mlx-lm: compressed attention, hashed routing and several residual streams (DeepSeek, 2026).

Every layer attends to a window of the latest tokens, and most to entries that each stand for a group of earlier
ones: few tokens a group and an indexer that chooses (compressed sparse attention), or many a group and all of them
(heavily compressed). The first layers look up a token's experts by its id. The residual is hc_mult streams, which
hyper-connections (arXiv:2512.24880) join before a block and part behind it. transformers, models/deepseek_v4.

A query sees an entry only when its whole group lies behind it, with and without a cache, however a prompt is cut.
mlx-lm has no class of this name, so a loader that ignores `model_file` stops. Once it has one that calls its
parameters the same, the same weights and config run without this file.
"""

import math
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.base import BaseModelArgs
from mlx_lm.models.mla import MultiLinear
from mlx_lm.models.switch_layers import SwitchGLU

SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"


@dataclass
class ModelArgs(BaseModelArgs):
    """The values of config.json that this class reads, as hubbot writes them; a key is one of config.json."""

    # deepseek_v4; mlx-lm shows it, no layer reads it.
    model_type: str
    # Rows of the embedding and of the output layer; key of the same name.
    vocab_size: int
    # Width of a residual stream, H; key of the same name.
    hidden_size: int
    # Inner width of every expert, of the shared one too; key of the same name.
    moe_intermediate_size: int
    # Number of decoder layers; key of the same name.
    num_hidden_layers: int
    # Query heads of a layer; key of the same name.
    num_attention_heads: int
    # Width of a head of queries, and of the one that is key and value; key of the same name.
    head_dim: int
    # Rotated part of a head, its last channels; key of the same name, or head_dim times partial_rotary_factor.
    qk_rope_head_dim: int
    # Width of the latent that queries are made of; key of the same name.
    q_lora_rank: int
    # Groups of heads that the output projection first maps apart; key of the same name.
    o_groups: int
    # Width that each of these groups is mapped to; key of the same name.
    o_lora_rank: int
    # Tokens of the window, the query's own among them; key of the same name.
    sliding_window: int
    # Kind of attention of each layer, in transformers' words; key of the same name, or compress_ratios.
    layer_types: list[str]
    # Tokens that an entry stands for, by kind of attention; key of the same name, or compress_ratios.
    compress_rates: dict[str, int]
    # Heads of an indexer; key of the same name.
    index_n_heads: int
    # Width of a head of an indexer; key of the same name.
    index_head_dim: int
    # Entries that a query attends to in a layer with an indexer; key of the same name.
    index_topk: int
    # For each layer hash_moe (experts by token id) or moe; key of the same name, or num_hash_layers.
    mlp_layer_types: list[str]
    # Experts of a layer; key of the same name.
    n_routed_experts: int
    # Experts of a token; key of the same name.
    num_experts_per_tok: int
    # Factor on the weights of the chosen experts; key of the same name.
    routed_scaling_factor: float
    # Bound of what the gate and up projections give; key of the same name.
    swiglu_limit: float
    # Residual streams; key of the same name.
    hc_mult: int
    # Steps towards a matrix whose rows and columns sum to one; key of the same name.
    hc_sinkhorn_iters: int
    # Added to weights and divisors of hyper-connections; key of the same name.
    hc_eps: float
    # Added to the mean square in every RMSNorm; key of the same name.
    rms_norm_eps: float
    # Base of the rotary frequencies of layers with the window alone; key of the same name, or rope_parameters.
    rope_theta: float
    # Base of those of layers with entries; key of the same name, or inside rope_parameters.
    compress_rope_theta: float
    # Yarn of layers with entries, null for none; key of the same name, or inside rope_parameters.
    rope_scaling: dict[str, Any] | None
    # The output layer is the embedding; key of the same name.
    tie_word_embeddings: bool

    def __post_init__(self) -> None:
        """Refuse lists that do not say of each layer what it is, and kinds that there are not."""
        for name, kinds in (("layer_types", {SLIDING, SPARSE, HEAVY}), ("mlp_layer_types", {"hash_moe", "moe"})):
            listed = getattr(self, name)
            if len(listed) != self.num_hidden_layers or set(listed) - kinds:
                raise ValueError(f"{name} must say one of {', '.join(sorted(kinds))} for each layer: {listed!r}")


def frequencies(dims: int, base: float, scaling: dict[str, Any] | None) -> mx.array:
    """Return the wavelengths over 2 pi of rotary pairs, float32 [dims / 2], slowed down by yarn if it is there."""
    powers = mx.arange(0, dims, 2, dtype=mx.float32) / dims
    plain = base**powers
    if not scaling:
        return plain
    context = scaling["original_max_position_embeddings"]

    def pair(turns: float) -> float:
        return dims * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair(scaling.get("beta_fast") or 32), pair(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    steps = mx.arange(dims // 2, dtype=mx.float32)
    slow = mx.clip((steps - low) / ((high - low) or 0.001), 0, 1)
    return 1 / ((1 - slow) / plain + slow / (plain * scaling["factor"]))


class Rope:
    """Rotation of the last channels of a head, neighbours in pairs; it holds no parameters."""

    def __init__(self, args: ModelArgs, compressed: bool) -> None:
        base = args.compress_rope_theta if compressed else args.rope_theta
        self.dims = args.qk_rope_head_dim
        self.settings = (self.dims, base, args.rope_scaling if compressed else None)

    def __call__(self, x: mx.array, offset: int, *, every: int = 1, back: bool = False) -> mx.array:
        """Rotate `x` [..., tokens, width]; the n-th is at position (offset + n) * every. `back` undoes it."""
        # The last channels are rotated, those before stay as they are.
        plain, rotated = mx.split(x, [x.shape[-1] - self.dims], axis=-1)
        freqs = frequencies(*self.settings)
        turned = mx.fast.rope(
            rotated,
            self.dims,
            traditional=True,
            base=None,
            scale=float(every),
            offset=offset,
            freqs=-freqs if back else freqs,
        )
        return mx.concatenate([plain, turned], axis=-1)


def normed(x: mx.array, weight: mx.array | None, eps: float) -> mx.array:
    """Return the RMSNorm of `x`, computed in float32, in the dtype of `x`."""
    weight = None if weight is None else weight.astype(mx.float32)
    return mx.fast.rms_norm(x.astype(mx.float32), weight, eps).astype(x.dtype)


class Norm(nn.Module):
    """An RMSNorm that is computed in float32, as the source's."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = mx.ones((width,))
        self.eps = eps

    def __call__(self, x: mx.array) -> mx.array:
        """Map [..., width] to the same shape and dtype."""
        return normed(x, self.weight, self.eps)


class LayerCache:
    """What a layer keeps of earlier tokens: the window, the entries, and the groups that later entries need.

    `window` [batch, 1, tokens, width]; `entries` and `index_entries` [batch, 1, groups, width]; `open` and
    `index_open` [batch, tokens, columns] are projections of the tokens of the unfinished group, and of the group
    before it where groups overlap. It cannot be trimmed: finished groups do not tell their tokens.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.window: mx.array | None = None
        self.held: dict[str, mx.array] = {}

    @property
    def state(self) -> list[mx.array]:
        """Return every array that is kept."""
        return [*([] if self.window is None else [self.window]), *self.held.values()]

    @property
    def nbytes(self) -> int:
        """Return the bytes that are kept."""
        return sum(array.nbytes for array in self.state)

    def is_trimmable(self) -> bool:
        """Say that the latest tokens cannot be taken back."""
        return False

    def empty(self) -> bool:
        """Say whether no token was read yet."""
        return self.offset == 0

    def size(self) -> int:
        """Return how many tokens were read."""
        return self.offset

    def windowed(self, keys: mx.array, width: int) -> mx.array:
        """Return the keys [batch, 1, tokens, head] of the window and the new ones, and keep the latest."""
        found = keys if self.window is None else mx.concatenate([self.window, keys], axis=2)
        self.window = found[:, :, max(found.shape[2] - (width - 1), 0) :]
        self.offset += keys.shape[2]
        return found

    def extended(self, name: str, new: mx.array, axis: int) -> mx.array:
        """Return what is kept under `name` with `new` behind it along `axis`, and keep that."""
        self.held[name] = mx.concatenate([self.held[name], new], axis=axis) if name in self.held else new
        return self.held[name]


class Compressor(nn.Module):
    """One entry of `width` for every `rate` tokens: their projections, weighted by a softmax within the group.

    With `overlaps` each token has two projections, one for its own group and one for the group after it.
    """

    def __init__(self, args: ModelArgs, width: int, rate: int, overlaps: bool) -> None:
        super().__init__()
        self.rate, self.overlaps, self.width = rate, overlaps, width
        columns = width * (1 + overlaps)
        self.kv_proj = nn.Linear(args.hidden_size, columns, bias=False)
        self.gate_proj = nn.Linear(args.hidden_size, columns, bias=False)
        self.position_bias = mx.zeros((rate, columns))
        self.kv_norm = Norm(width, args.rms_norm_eps)

    def entries(self, x: mx.array, rope: Rope, cache: LayerCache, name: str, before: int) -> mx.array:
        """Return the entries of all groups that are finished, [batch, 1, groups, width].

        `x` [batch, tokens, hidden] follows `before` tokens; `name` is what the cache calls these entries.
        """
        rows = mx.concatenate([self.kv_proj(x), self.gate_proj(x)], axis=-1)
        rows = cache.extended(f"{name} open", rows, 1)
        done = before // self.rate
        # Beside the unfinished group the one before it was kept, for the first entry that is made now.
        kept = 1 if self.overlaps and done else 0
        groups = rows.shape[1] // self.rate
        made = groups - kept
        if made:
            whole = rows[:, : groups * self.rate].reshape(x.shape[0], groups, self.rate, 2, -1)
            new = rope(self.pooled(whole[..., 0, :], whole[..., 1, :], kept)[:, None], done, every=self.rate)
            cache.held[f"{name} open"] = rows[:, (groups - self.overlaps) * self.rate :]
        else:
            new = mx.zeros((x.shape[0], 1, 0, self.width), x.dtype)
        return cache.extended(name, new, 2)

    def pooled(self, values: mx.array, gates: mx.array, kept: int) -> mx.array:
        """Return an entry a group but the first `kept`, of [batch, groups, rate, columns]; not rotated yet."""
        gates = gates.astype(mx.float32) + self.position_bias.astype(mx.float32)
        if self.overlaps:
            (early, values), (early_gates, gates) = (mx.split(each, 2, axis=-1) for each in (values, gates))
            # The group before the first has no token.
            none = mx.zeros_like(early[:, :1]), mx.full(early_gates[:, :1].shape, -mx.inf)
            early, early_gates = (
                mx.concatenate([nothing, each[:, :-1]], axis=1)
                for nothing, each in zip(none, (early, early_gates), strict=True)
            )
            values = mx.concatenate([early, values], axis=2)[:, kept:]
            gates = mx.concatenate([early_gates, gates], axis=2)[:, kept:]
        weights = mx.softmax(gates, axis=2).astype(values.dtype)
        return self.kv_norm((values * weights).sum(axis=2))


class Scorer(nn.Module):
    """The weights of an indexer's heads."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.weights_proj = nn.Linear(args.hidden_size, args.index_n_heads, bias=False)


class Indexer(Compressor):
    """Entries of its own, by which a query's scores for all entries are counted."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__(args, args.index_head_dim, args.compress_rates[SPARSE], overlaps=True)
        self.heads, self.count = args.index_n_heads, args.index_topk
        self.q_b_proj = nn.Linear(args.q_lora_rank, self.heads * self.width, bias=False)
        self.scorer = Scorer(args)

    def __call__(
        self, x: mx.array, latent: mx.array, seen: mx.array, rope: Rope, cache: LayerCache, before: int
    ) -> mx.array | None:
        """Return the indices of the entries to attend to [batch, tokens, index_topk], None for all of them.

        `seen` [tokens, groups] says which entries lie behind a query; indices of others may be among those
        returned where fewer do.
        """
        # Scores of each head for each entry, none below zero, summed by weights that the token gives the heads.
        keys = self.entries(x, rope, cache, "index", before)
        if keys.shape[2] <= self.count:
            return None
        batch, tokens, _ = x.shape
        queries = self.q_b_proj(latent).reshape(batch, tokens, self.heads, -1).transpose(0, 2, 1, 3)
        queries = rope(queries, before).astype(mx.float32)
        scores = mx.maximum(queries @ keys.astype(mx.float32).swapaxes(-1, -2), 0) * self.width**-0.5
        weights = self.scorer.weights_proj(x).astype(mx.float32) * self.heads**-0.5
        scores = (scores * weights.swapaxes(-1, -2)[..., None]).sum(axis=1)
        scores = mx.where(seen, scores, -mx.inf)
        return mx.argpartition(-scores, self.count - 1, axis=-1)[..., : self.count]


class EntryCompressor(Compressor):
    """The entries of a layer, and which of them its queries see."""

    def __init__(self, args: ModelArgs, kind: str) -> None:
        super().__init__(args, args.head_dim, args.compress_rates[kind], overlaps=kind == SPARSE)
        if kind == SPARSE:
            self.indexer = Indexer(args)

    def __call__(
        self, x: mx.array, latent: mx.array, rope: Rope, cache: LayerCache, before: int
    ) -> tuple[mx.array, mx.array]:
        """Return entries [batch, 1, groups, head] and which are seen, booleans [batch or 1, 1, tokens, groups].

        A single token gets the chosen entries alone.
        """
        # An entry is seen by the last token of its group and by all after it.
        entries, tokens = self.entries(x, rope, cache, "entries", before), x.shape[1]
        finished = (mx.arange(before, before + tokens) + 1) // self.rate
        seen = mx.arange(entries.shape[2]) < finished[:, None]
        chosen = self.indexer(x, latent, seen, rope, cache, before) if "indexer" in self else None
        if chosen is None:
            return entries, seen[None, None]
        if tokens == 1:
            index = chosen[:, :, :, None]
            entries = mx.take_along_axis(entries, mx.broadcast_to(index, (*index.shape[:-1], self.width)), axis=2)
            return entries, mx.take_along_axis(mx.broadcast_to(seen, (x.shape[0], *seen.shape)), chosen, -1)[
                :, None
            ]
        allowed = mx.zeros((*chosen.shape[:-1], seen.shape[-1]), dtype=mx.bool_)
        allowed = mx.put_along_axis(allowed, chosen, mx.array(True), axis=-1)
        return entries, (allowed & seen)[:, None]


class Attention(nn.Module):
    """Attention with one head that is key and value at once, to the window and to the entries of the layer."""

    def __init__(self, args: ModelArgs, kind: str) -> None:
        super().__init__()
        self.heads, self.width, self.eps = args.num_attention_heads, args.head_dim, args.rms_norm_eps
        self.groups, self.span = args.o_groups, args.sliding_window
        self._rope = Rope(args, compressed=kind != SLIDING)
        hidden, rank = args.hidden_size, args.q_lora_rank
        self.q_a_proj = nn.Linear(hidden, rank, bias=False)
        self.q_a_norm = Norm(rank, args.rms_norm_eps)
        self.q_b_proj = nn.Linear(rank, self.heads * self.width, bias=False)
        self.kv_proj = nn.Linear(hidden, self.width, bias=False)
        self.kv_norm = Norm(self.width, args.rms_norm_eps)
        self.o_a_proj = MultiLinear(self.heads * self.width // self.groups, args.o_lora_rank, self.groups)
        self.o_b_proj = nn.Linear(self.groups * args.o_lora_rank, hidden, bias=False)
        self.sinks = mx.zeros((self.heads,))
        if kind != SLIDING:
            self.compressor = EntryCompressor(args, kind)

    def __call__(self, x: mx.array, cache: LayerCache) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape."""
        # Queries from their latent, one key for all heads; the keys of the window, and behind them the entries.
        batch, tokens, _ = x.shape
        before, rope = cache.offset, self._rope
        latent = self.q_a_norm(self.q_a_proj(x))
        queries = self.q_b_proj(latent).reshape(batch, tokens, self.heads, -1).transpose(0, 2, 1, 3)
        queries = rope(normed(queries, None, self.eps), before)
        keys = cache.windowed(rope(self.kv_norm(self.kv_proj(x))[:, None], before), self.span)
        at = mx.arange(before, before + tokens)[:, None]
        behind = mx.arange(before + tokens - keys.shape[2], before + tokens)
        mask = ((behind <= at) & (behind > at - self.span))[None, None]
        if "compressor" in self:
            entries, seen = self.compressor(x, latent, rope, cache, before)
            keys = mx.concatenate([keys, entries], axis=2)
            mask = mx.broadcast_to(mask, (seen.shape[0], *mask.shape[1:]))
            mask = mx.concatenate([mask, seen], axis=-1)
        out = mx.fast.scaled_dot_product_attention(
            queries, keys, keys, scale=self.width**-0.5, mask=mask, sinks=self.sinks.astype(queries.dtype)
        )
        # The values were rotated as keys: turning back leaves how far they lie behind the query.
        out = rope(out, before, back=True).transpose(0, 2, 1, 3).reshape(batch, tokens, self.groups, -1)
        out = self.o_a_proj(out.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
        return self.o_b_proj(out.reshape(batch, tokens, -1))


class HyperConnection(nn.Module):
    """How the streams are joined before a block and parted behind it, counted for each token in float32."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.streams, self.steps, self.added = args.hc_mult, args.hc_sinkhorn_iters, args.hc_eps
        self.eps = args.rms_norm_eps
        self.fn = mx.zeros(((2 + self.streams) * self.streams, self.streams * args.hidden_size))
        self.base = mx.zeros(((2 + self.streams) * self.streams,))
        self.scale = mx.zeros((3,))

    def __call__(self, streams: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """Return what a block is given, [batch, tokens, hidden], and the weights of `parted`.

        `streams` [batch, tokens, hc_mult, hidden].
        """
        # Three sets of weights from all streams at once: what is joined, what is given back, how streams mix.
        count = self.streams
        flat = normed(streams.astype(mx.float32).flatten(2), None, self.eps)
        found = flat @ self.fn.astype(mx.float32).T
        sizes = (count, count, count * count)
        scale = mx.concatenate([mx.broadcast_to(self.scale[n], (size,)) for n, size in enumerate(sizes)])
        found = found * scale.astype(mx.float32) + self.base.astype(mx.float32)
        pre, post, mixing = mx.split(found, [count, 2 * count], axis=-1)
        pre, post = mx.sigmoid(pre) + self.added, 2 * mx.sigmoid(post)
        mixing = mx.softmax(mixing.reshape(*mixing.shape[:-1], count, count), axis=-1) + self.added
        mixing = mixing / (mixing.sum(axis=-2, keepdims=True) + self.added)
        for _ in range(self.steps - 1):
            mixing = mixing / (mixing.sum(axis=-1, keepdims=True) + self.added)
            mixing = mixing / (mixing.sum(axis=-2, keepdims=True) + self.added)
        joined = (pre[..., None] * streams).sum(axis=2).astype(streams.dtype)
        return joined, post.astype(streams.dtype), mixing.astype(streams.dtype)


def parted(out: mx.array, streams: mx.array, post: mx.array, mixing: mx.array) -> mx.array:
    """Return the streams [batch, tokens, hc_mult, hidden] after a block that gave `out`."""
    return post[..., None] * out[..., None, :] + mixing.swapaxes(-1, -2) @ streams


class HyperHead(nn.Module):
    """How the streams are joined behind the last layer."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.added, self.eps = args.hc_eps, args.rms_norm_eps
        self.hc_fn = mx.zeros((args.hc_mult, args.hc_mult * args.hidden_size))
        self.hc_base = mx.zeros((args.hc_mult,))
        self.hc_scale = mx.zeros((1,))

    def __call__(self, streams: mx.array) -> mx.array:
        """Map [batch, tokens, hc_mult, hidden] to [batch, tokens, hidden]."""
        # Weights from all streams at once, and the sum of the streams by them.
        flat = normed(streams.astype(mx.float32).flatten(2), None, self.eps)
        found = flat @ self.hc_fn.astype(mx.float32).T
        pre = mx.sigmoid(found * self.hc_scale.astype(mx.float32) + self.hc_base.astype(mx.float32)) + self.added
        return (pre[..., None] * streams).sum(axis=2).astype(streams.dtype)


class ClippedSwiGLU(nn.Module):
    """silu(gate) * up, the gate bounded from above and up on both sides."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def __call__(self, up: mx.array, gate: mx.array) -> mx.array:
        """Map two arrays of one shape to one."""
        return nn.silu(mx.minimum(gate, self.limit)) * mx.clip(up, -self.limit, self.limit)


class SharedExpert(nn.Module):
    """The expert of every token."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(args.hidden_size, args.moe_intermediate_size, bias=False)
        self.up_proj = nn.Linear(args.hidden_size, args.moe_intermediate_size, bias=False)
        self.down_proj = nn.Linear(args.moe_intermediate_size, args.hidden_size, bias=False)
        self.activation = ClippedSwiGLU(args.swiglu_limit)

    def __call__(self, x: mx.array) -> mx.array:
        """Map [..., hidden] to the same shape."""
        return self.down_proj(self.activation(self.up_proj(x), self.gate_proj(x)))


class Router(nn.Module):
    """Scores of the experts, roots of softplus; the token's id or the best biased scores choose."""

    def __init__(self, args: ModelArgs, hashed: bool) -> None:
        super().__init__()
        self.count, self.factor = args.num_experts_per_tok, args.routed_scaling_factor
        self.weight = mx.zeros((args.n_routed_experts, args.hidden_size))
        if hashed:
            self.tid2eid = mx.zeros((args.vocab_size, self.count), dtype=mx.int64)
        else:
            self.e_score_correction_bias = mx.zeros((args.n_routed_experts,))

    def __call__(self, x: mx.array, ids: mx.array) -> tuple[mx.array, mx.array]:
        """Return the experts of [batch, tokens, hidden] and their weights, each [batch, tokens, experts a token].

        `ids` are the token ids, [batch, tokens, 1].
        """
        # Scores of all experts, the choice, and the weights of those that are chosen.
        scores = mx.sqrt(nn.softplus(x.astype(mx.float32) @ self.weight.astype(mx.float32).T))
        if "tid2eid" in self:
            chosen = self.tid2eid[ids[..., 0]]
        else:
            biased = scores + self.e_score_correction_bias.astype(mx.float32)
            chosen = mx.argpartition(-biased, self.count - 1, axis=-1)[..., : self.count]
        weights = mx.take_along_axis(scores, chosen, axis=-1)
        return chosen, weights / (weights.sum(axis=-1, keepdims=True) + 1e-20) * self.factor


class Experts(nn.Module):
    """Routed experts and the shared one."""

    def __init__(self, args: ModelArgs, hashed: bool) -> None:
        super().__init__()
        self.gate = Router(args, hashed)
        self.switch_mlp = SwitchGLU(
            args.hidden_size,
            args.moe_intermediate_size,
            args.n_routed_experts,
            activation=ClippedSwiGLU(args.swiglu_limit),
        )
        self.shared_experts = SharedExpert(args)

    def __call__(self, x: mx.array, ids: mx.array) -> mx.array:
        """Map [batch, tokens, hidden] to the same shape; `ids` [batch, tokens, 1]."""
        # The outputs of the chosen experts by their weights, and that of the shared one.
        chosen, weights = self.gate(x, ids)
        routed = (self.switch_mlp(x, chosen) * weights[..., None]).sum(axis=-2).astype(x.dtype)
        return routed + self.shared_experts(x)


class DecoderLayer(nn.Module):
    """Attention and experts, each between a hyper-connection and what parts its output among the streams."""

    def __init__(self, args: ModelArgs, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(args, args.layer_types[index])
        self.mlp = Experts(args, args.mlp_layer_types[index] == "hash_moe")
        self.input_layernorm = Norm(args.hidden_size, args.rms_norm_eps)
        self.post_attention_layernorm = Norm(args.hidden_size, args.rms_norm_eps)
        self.attn_hc = HyperConnection(args)
        self.ffn_hc = HyperConnection(args)

    def __call__(self, streams: mx.array, ids: mx.array, cache: LayerCache | None = None) -> mx.array:
        """Map [batch, tokens, hc_mult, hidden] to the same shape; `ids` are the token ids, [batch, tokens, 1]."""
        # Join, norm, attention, part; join, norm, experts, part.
        x, post, mixing = self.attn_hc(streams)
        out = self.self_attn(self.input_layernorm(x), LayerCache() if cache is None else cache)
        streams = parted(out, streams, post, mixing)
        x, post, mixing = self.ffn_hc(streams)
        return parted(self.mlp(self.post_attention_layernorm(x), ids), streams, post, mixing)


class Backbone(nn.Module):
    """Embedding, layers, the end of the streams and the last norm."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.streams = args.hc_mult
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args, index) for index in range(args.num_hidden_layers)]
        self.hc_head = HyperHead(args)
        self.norm = Norm(args.hidden_size, args.rms_norm_eps)

    def __call__(self, inputs: mx.array, cache: Any) -> mx.array:
        """Map token ids [batch, tokens] to [batch, tokens, hidden]."""
        # Every stream begins as the embedding.
        h = mx.repeat(self.embed_tokens(inputs)[:, :, None], self.streams, axis=2)
        for layer, each in zip(self.layers, cache or [None] * len(self.layers), strict=True):
            h = layer(h, inputs[..., None], each)
        return self.norm(self.hc_head(h))


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
        # The output layer is the embedding where the config ties them.
        h = self.model(inputs, cache)
        return self.model.embed_tokens.as_linear(h) if self.args.tie_word_embeddings else self.lm_head(h)

    def make_cache(self) -> list[LayerCache]:
        """Return a cache for each layer."""
        return [LayerCache() for _ in self.layers]

    @property
    def cast_predicate(self) -> Any:
        """Return which parameters may be cast: what chooses and what joins the streams stay as they are stored."""
        kept = ("e_score_correction_bias", "tid2eid", "sinks", "position_bias", "_hc.", "hc_head.")
        return lambda name: not any(part in name for part in kept)

    @property
    def layers(self) -> list[DecoderLayer]:
        """Return the decoder layers, as mlx-lm's tools expect."""
        return self.model.layers
