"""Weights of experts that are read one expert at a time, and layers of MLX that compute with them in numpy.

A stack stands for a weight [experts, out, in] of which only the expert at work is in memory. It knows nothing of
where experts come from.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn
from mlx_lm.models.switch_layers import SwitchGLU, SwitchLinear, SwitchMLP

from hubbot.runtime.blas_products import (
    Floats,
    Rows,
    by_expert,
    experts_rows,
    float32,
    multiply,
    stored_rows,
    widened,
)

# An expert and its tokens [n, in] -> [n, out].
Compute: TypeAlias = Callable[[int, Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertStack:
    """A weight of `shape` [experts, out, in]; `expert` returns one expert's bits [out, in] and their dtype.

    The dtype is BF16 (bits as uint16), F16 or F32.
    """

    shape: tuple[int, ...]
    expert: Callable[[int], tuple[npt.NDArray[Any], str]]

    def whole(self) -> Any:
        """Return all experts as one MLX array of their dtype."""
        return mx.stack([to_mlx(*self.expert(index)) for index in range(self.shape[0])])

    def rows(self, index: int) -> Rows:
        """Return the rows of one expert."""
        raw, dtype = self.expert(index)
        return lambda start, stop: widened(raw[start:stop], dtype)


def to_mlx(raw: npt.NDArray[Any], dtype: str) -> Any:
    """Return stored floats as an MLX array of their type: bfloat16 bits as uint16, others as they are."""
    array = mx.array(raw)
    return array.view(mx.bfloat16) if dtype == "BF16" else array


def stand_in(shape: tuple[int, ...]) -> Any:
    """Return an MLX array of `shape` without memory: not numbers, so that whatever computes with it is noticed."""
    return mx.broadcast_to(mx.array(float("nan")), shape)


@contextmanager
def computing_stacks(stacks: Mapping[int, ExpertStack]) -> Iterator[None]:
    """Let expert layers compute in numpy, one expert with all its tokens at a time, until the end of the block.

    SwitchLinear layers whose id is in `stacks` compute with that stack. Embeddings return float32 meanwhile,
    whatever type they are stored in.
    """
    before = [(kind, kind.__call__) for kind in (SwitchLinear, SwitchGLU, SwitchMLP, nn.Embedding)]
    switch, gated, plain, embedding = (call for _, call in before)

    def linear(self: Any, x: Any, indices: Any, sorted_indices: bool = False) -> Any:
        if id(self) not in stacks:
            return switch(self, x, indices, sorted_indices=sorted_indices)
        return mx.array(_computed(x, indices, _projection(self, stacks), self))

    def layer(call: Callable[..., Any], last: str, compute: Callable[..., Compute]) -> Callable[..., Any]:
        def called(self: Any, x: Any, indices: Any) -> Any:
            if x.dtype != mx.float32:
                return call(self, x, indices)
            made = _computed(mx.expand_dims(x, (-2, -3)), indices, compute(self, stacks), self[last])
            return mx.array(made.squeeze(-2))

        return called

    try:
        SwitchLinear.__call__ = linear
        SwitchGLU.__call__ = layer(gated, "down_proj", _glu)
        SwitchMLP.__call__ = layer(plain, "fc2", _mlp)
        nn.Embedding.__call__ = lambda self, x: embedding(self, x).astype(mx.float32)
        yield
    finally:
        for kind, call in before:
            kind.__call__ = call


def _computed(x: Any, indices: Any, compute: Compute, last: Any) -> Floats:
    """Return what the experts make of `x` [..., 1, 1, in]; `last` is the layer whose output it is."""
    mx.eval(indices)
    return by_expert(float32(x), np.array(indices), compute, last.output_dims)


def _glu(layer: Any, stacks: Mapping[int, ExpertStack]) -> Compute:
    up, gate, down = (_projection(layer[name], stacks) for name in ("up_proj", "gate_proj", "down_proj"))

    def compute(expert: int, tokens: Floats) -> Floats:
        halves = mx.array(up(expert, tokens)), mx.array(gate(expert, tokens))
        return down(expert, float32(layer.activation(*halves)))

    return compute


def _mlp(layer: Any, stacks: Mapping[int, ExpertStack]) -> Compute:
    first, second = (_projection(layer[name], stacks) for name in ("fc1", "fc2"))
    return lambda expert, tokens: second(expert, float32(layer.activation(mx.array(first(expert, tokens)))))


def _projection(layer: Any, stacks: Mapping[int, ExpertStack]) -> Compute:
    """Return what computes one expert's product of a SwitchLinear or QuantizedSwitchLinear layer."""
    stack, width = stacks.get(id(layer)), layer.output_dims

    def rows(expert: int) -> Rows:
        if stack is not None:
            return stack.rows(expert)
        if "scales" not in layer:
            return stored_rows(layer["weight"][expert])
        named = ("group_size", "bits", "mode", "global_scale")
        stored = {name: getattr(layer, name, None) for name in named}
        return experts_rows(expert, layer["weight"], layer["scales"], layer.get("biases"), stored)

    def compute(expert: int, tokens: Floats) -> Floats:
        made = multiply(tokens, rows(expert), width)
        if "bias" in layer:
            made += float32(layer["bias"][expert])
        return made

    return compute
