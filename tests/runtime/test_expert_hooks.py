from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.models.switch_layers import SwitchGLU, SwitchMLP

from hubbot.runtime.expert_hooks import ExpertCounts, counting


class Two(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.first = SwitchGLU(8, 16, 4)
        self.second = SwitchMLP(8, 16, 3)

    def __call__(self, x: mx.array) -> Any:
        chosen = mx.array([[[0, 2], [2, 3]]])
        return self.second(self.first(x, chosen).sum(axis=-2), chosen[..., :1])


def test_every_choice_of_every_layer_is_counted_and_the_classes_are_left_as_they_were() -> None:
    calls = (SwitchGLU.__call__, SwitchMLP.__call__)
    uses = ExpertCounts()
    with mx.stream(mx.cpu):
        model = Two()
        for _ in range(2):
            with counting(model, uses):
                mx.eval(model(mx.ones((1, 2, 8))))
        mx.eval(model(mx.ones((1, 2, 8))))
    assert (SwitchGLU.__call__, SwitchMLP.__call__) == calls
    assert {path: counts.tolist() for path, counts in uses.counts.items()} == {
        "first": [2, 0, 4, 2],
        "second": [2, 0, 2],
    }
    assert uses.tokens == {"first": 4, "second": 4}


def test_a_model_without_experts_has_no_layers_to_count() -> None:
    uses = ExpertCounts()
    with mx.stream(mx.cpu), counting(nn.Linear(4, 4), uses):
        assert np.array(mx.ones(1)).sum() == 1
    assert uses.counts == {}
