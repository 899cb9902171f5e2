"""Run a small model once on the CPU and return its logits and the experts of every token, layer by layer.

On the CPU, because a GPU may multiply float32 in fewer bits. It knows nothing of what the model is a twin of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.runtime.expert_hooks import expert_count, hooked, to_numpy
from hubbot.runtime.layerwise import Fetch, open_unquantized

Choices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Float32 logits [tokens, vocabulary], and the chosen experts [tokens, k] of each MoE layer in order.

    `experts` is the number of experts of the smallest MoE layer, None for a model without one.
    """

    logits: npt.NDArray[np.float32]
    choices: tuple[Choices, ...]
    experts: int | None


def run(config: Mapping[str, Any], fetch: Fetch, ids: npt.NDArray[np.int64]) -> Run:
    """Return what the model of `config` computes for the token ids int64 [tokens], with the weights of `fetch`."""
    choices: list[Choices] = []
    counts: list[int] = []

    def note(layer: Any, indices: Any) -> None:
        choices.append(to_numpy(indices))
        counts.append(expert_count(layer))

    with mx.stream(mx.cpu), hooked(note):
        model = open_unquantized(config, fetch)
        (logits,) = model.logits(ids[None], lambda _index, _layers, _hidden: None)
    return Run(logits=logits, choices=tuple(choices), experts=min(counts, default=None))
