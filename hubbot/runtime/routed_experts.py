"""How often each expert is chosen while a model speaks: the indices that reach its expert layers, counted.

Every mlx-lm class routes through SwitchGLU or SwitchMLP (models/switch_layers.py), so no class needs to be known.
It changes how these two are called, for as long as the counting lasts, in this process only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP

LAYERS = (SwitchGLU, SwitchMLP)


@dataclass(slots=True, kw_only=True)
class Uses:
    """Chosen experts per layer: `counts` [experts] by the layer's path, and the tokens that were routed."""

    counts: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, chosen: npt.NDArray[np.int64]) -> None:
        """Count the experts of some tokens, [tokens, top_k]."""
        before = self.counts[path]
        self.counts[path] = before + np.bincount(chosen.reshape(-1), minlength=len(before))[: len(before)]
        self.tokens[path] += len(chosen)


@contextmanager
def counting(model: Any, uses: Uses) -> Iterator[None]:
    """Count into `uses` what `model` chooses until the end of the block."""
    paths = {id(module): path for path, module in model.named_modules() if isinstance(module, LAYERS)}
    for path, module in model.named_modules():
        if isinstance(module, LAYERS) and path not in uses.counts:
            uses.counts[path] = np.zeros(_experts(module), np.int64)
            uses.tokens[path] = 0
    chosen: list[tuple[str, Any]] = []
    before = {layer: layer.__call__ for layer in LAYERS}
    try:
        for layer, call in before.items():
            layer.__call__ = _noting(call, paths, chosen)
        yield
    finally:
        for layer, call in before.items():
            layer.__call__ = call
        mx.eval([indices for _, indices in chosen])
        for path, indices in chosen:
            uses.add(path, np.array(indices.astype(mx.int64)).reshape(-1, indices.shape[-1]))


def _noting(call: Callable[..., Any], paths: dict[int, str], chosen: list[tuple[str, Any]]) -> Callable[..., Any]:
    def noted(self: Any, x: Any, indices: Any, *rest: Any, **named: Any) -> Any:
        path = paths.get(id(self))
        if path is not None:
            chosen.append((path, indices))
        return call(self, x, indices, *rest, **named)

    return noted


def _experts(module: Any) -> int:
    # A gate where there is one, else the first of two layers.
    first = getattr(module, "up_proj", None) or getattr(module, "fc1", None)
    return int(first.weight.shape[0]) if first is not None else 0
