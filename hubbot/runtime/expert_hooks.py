"""Which experts a model's tokens are sent to: the indices that reach its expert layers, passed on and counted.

Every mlx-lm class routes through SwitchGLU or SwitchMLP (models/switch_layers.py), so no class needs to be known.
A hook changes how these two are called, in this process and for as long as it lasts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP

LAYERS: Final[tuple[Any, ...]] = (SwitchGLU, SwitchMLP)


@contextmanager
def hooked(on_call: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call `on_call`(layer, indices) before every call of an expert layer, until the end of the block.

    The indices are an MLX array [..., top_k] that need not be evaluated yet.
    """
    before = [kind.__call__ for kind in LAYERS]
    try:
        for kind, call in zip(LAYERS, before, strict=True):
            kind.__call__ = _calling(call, on_call)
        yield
    finally:
        for kind, call in zip(LAYERS, before, strict=True):
            kind.__call__ = call


def _calling(call: Callable[..., Any], on_call: Callable[[Any, Any], None]) -> Callable[..., Any]:
    def called(self: Any, x: Any, indices: Any, *rest: Any, **named: Any) -> Any:
        on_call(self, indices)
        return call(self, x, indices, *rest, **named)

    return called


def expert_count(layer: Any) -> int:
    """Return the number of experts of an expert layer, quantized or not."""
    # SwitchGLU has an up projection, SwitchMLP two plain layers.
    first = layer.up_proj if "up_proj" in layer else layer.fc1
    return int(first.weight.shape[0])


def to_numpy(indices: Any) -> npt.NDArray[np.int64]:
    """Return indices [..., top_k] as int64 [tokens, top_k]."""
    return np.array(indices.astype(mx.int64)).reshape(-1, indices.shape[-1])


@dataclass(slots=True, kw_only=True)
class ExpertCounts:
    """How often each expert was chosen: `counts` int64 [experts] and routed `tokens`, by the layer's path."""

    counts: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, chosen: npt.NDArray[np.int64]) -> None:
        """Count the experts of some tokens, int64 [tokens, top_k]."""
        before = self.counts[path]
        self.counts[path] = before + np.bincount(chosen.reshape(-1), minlength=len(before))[: len(before)]
        self.tokens[path] += len(chosen)


@contextmanager
def counting(model: Any, uses: ExpertCounts) -> Iterator[None]:
    """Add to `uses` what the expert layers of `model` are sent, until the end of the block."""
    paths = {id(module): path for path, module in model.named_modules() if isinstance(module, LAYERS)}
    for path, module in model.named_modules():
        if isinstance(module, LAYERS) and path not in uses.counts:
            uses.counts[path] = np.zeros(expert_count(module), np.int64)
            uses.tokens[path] = 0
    chosen: list[tuple[str, Any]] = []

    def note(layer: Any, indices: Any) -> None:
        if id(layer) in paths:
            chosen.append((paths[id(layer)], indices))

    try:
        with hooked(note):
            yield
    finally:
        # All at once: an evaluation per call would slow the generation down.
        mx.eval([indices for _, indices in chosen])
        for path, indices in chosen:
            uses.add(path, to_numpy(indices))
