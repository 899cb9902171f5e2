"""Scaled dot-product attention in numpy, float32, one sequence and one head of keys at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def attention(
    queries: Floats, keys: Floats, values: Floats, *, scale: float, mask: Any = None, sinks: Floats | None = None
) -> Floats:
    """Return softmax(queries keys^T scale + mask) values as mx.fast.scaled_dot_product_attention defines it.

    `queries` [batch, heads, tokens, width], `keys` and `values` [batch, key heads, keys, width]. `mask` is None,
    "causal", booleans (True: is seen) or numbers to add, each broadcast to [batch, heads, tokens, keys]. `sinks`
    [heads] takes part in every softmax and has no value.
    """
    batch, heads, tokens, _ = queries.shape
    key_heads, count = keys.shape[1:3]
    group = heads // key_heads
    if isinstance(mask, str):
        mask = np.tri(tokens, count, count - tokens, dtype=np.bool_)
    if mask is not None:
        mask = np.broadcast_to(mask, (batch, heads, tokens, count))
    out = np.empty((*queries.shape[:3], values.shape[-1]), np.float32)
    for row in range(batch):
        for head in range(key_heads):
            mine = slice(head * group, (head + 1) * group)
            stacked = queries[row, mine].reshape(group * tokens, -1)
            scores = ((stacked @ keys[row, head].T) * np.float32(scale)).reshape(group, tokens, count)
            if mask is not None:
                seen = mask[row, mine]
                scores = np.where(seen, scores, np.float32(-np.inf)) if seen.dtype == np.bool_ else scores + seen
            weights = _softmax(scores, None if sinks is None else sinks[mine])
            out[row, mine] = (weights.reshape(-1, count) @ values[row, head]).reshape(group, tokens, -1)
    return out


def _softmax(scores: Floats, sinks: Floats | None) -> Floats:
    """Return the softmax of `scores` [heads, tokens, keys] along the last axis."""
    highest = scores.max(axis=-1, keepdims=True)
    if sinks is not None:
        highest = np.maximum(highest, sinks[:, None, None])
    with np.errstate(invalid="ignore"):  # a token that sees nothing has no softmax, here as in MLX
        scores -= highest
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    if sinks is not None:
        total += np.exp(sinks[:, None, None] - highest)
    scores /= total
    return scores
