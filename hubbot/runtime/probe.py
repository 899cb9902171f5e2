"""A small model run once on the CPU: its logits, and which experts every token was sent to, layer by layer.

The CPU, because a GPU may multiply float32 in fewer bits. It knows nothing of what the model is a twin of.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx_lm.models import switch_layers

from hubbot.runtime.layerwise import Fetch, open_unquantized

Choices = npt.NDArray[np.int64]
# Every stacked-experts layer of mlx-lm, called as layer(x, indices).
_EXPERTS: tuple[Any, ...] = (switch_layers.SwitchGLU, switch_layers.SwitchMLP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Float32 logits [tokens, vocabulary], and the chosen experts [tokens, k] of each MoE layer in order.

    `experts` is the number of experts of the smallest MoE layer, None where nobody counted.
    """

    logits: npt.NDArray[np.float32]
    choices: tuple[Choices, ...]
    experts: int | None


def run(config: Mapping[str, Any], fetch: Fetch, ids: npt.NDArray[np.int64]) -> Run:
    """Return what the model of `config` computes for one sequence, with the weights that `fetch` yields."""
    with mx.stream(mx.cpu), _recorded() as (choices, counts):
        model = open_unquantized(config, fetch)
        (logits,) = model.logits(ids[None], lambda _index, _layers, _hidden: None)
    return Run(logits=logits, choices=tuple(choices), experts=min(counts, default=None))


@contextmanager
def _recorded() -> Iterator[tuple[list[Choices], list[int]]]:
    found: list[Choices] = []
    counts: list[int] = []
    before = [kind.__call__ for kind in _EXPERTS]
    try:
        for kind, call in zip(_EXPERTS, before, strict=True):
            kind.__call__ = _recording(call, found, counts)
        yield found, counts
    finally:
        for kind, call in zip(_EXPERTS, before, strict=True):
            kind.__call__ = call


def _recording(call: Callable[..., Any], found: list[Choices], counts: list[int]) -> Callable[..., Any]:
    def recorded(self: Any, x: Any, indices: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(np.array(indices).astype(np.int64).reshape(-1, indices.shape[-1]))
        counts.append(next(iter(self.children().values())).weight.shape[0])
        return call(self, x, indices, *args, **kwargs)

    return recorded
