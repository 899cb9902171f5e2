"""Run a model one layer at a time: each layer's weights are fetched, used on every sequence and dropped.

The entries of the model's layer list are replaced by stand-ins that load a layer, call it and drop it, so any
mlx-lm class runs unchanged in the memory of one layer. It computes in float32 and knows nothing of sources.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from hubbot.runtime import loading

Floats: TypeAlias = npt.NDArray[np.float32]
Fetch: TypeAlias = Callable[[list[str]], Iterable[tuple[str, Any]]]
# Told after each layer: its number, how many there are, and hidden states [sequences, tokens, width].
AfterLayer: TypeAlias = Callable[[int, int, Any], None]


class LayerwiseModel:
    """A model whose layers hold weights only while they run.

    `model` is an mlx-lm model whose weights are not evaluated yet; `fetch` yields (name, array) for the
    parameters it is asked for, as MLX or numpy arrays.
    """

    def __init__(self, model: Any, fetch: Fetch) -> None:
        self._model = model
        self._fetch = fetch
        path, self._layers = layer_list(model)
        names = [name for name, _ in tree_flatten(model.parameters())]
        self._prefixes = [f"{path}.{index}." for index in range(len(self._layers))]
        self._names = [[name for name in names if name.startswith(prefix)] for prefix in self._prefixes]
        held = {name for group in self._names for name in group}
        self._plain = list(self._layers)
        for layer in self._plain:
            _drop(layer)
        rest = [name for name in names if name not in held]
        model.update(tree_unflatten([(name, _float32(array)) for name, array in fetch(rest)]))
        mx.eval([array for name, array in tree_flatten(model.parameters()) if name not in held])

    def logits(self, ids: npt.NDArray[np.int64], after_layer: AfterLayer) -> Iterator[Floats]:
        """Yield float32 logits [tokens, vocabulary] of every row of `ids` [sequences, tokens], in order."""
        last: list[Any] = []

        def run(index: int, hidden: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            layer = self._plain[index]
            self._load(index)
            out = _by_row(layer, hidden, args, kwargs)
            _drop(layer)
            mx.clear_cache()
            last[:] = [out]
            after_layer(index, len(self._plain), _hidden(out))
            return out

        self._stage(run)
        self._model(mx.array(ids))
        for row in range(ids.shape[0]):
            self._stage(_replay(last[0], row, len(self._plain)))
            out = self._model(mx.array(ids[row : row + 1]))[0].astype(mx.float32)
            mx.eval(out)
            yield np.array(out)

    def _stage(self, run: Callable[..., Any]) -> None:
        self._layers[:] = [_Stage(layer, index, run) for index, layer in enumerate(self._plain)]

    def _load(self, index: int) -> None:
        prefix = self._prefixes[index]
        found = [(name.removeprefix(prefix), _float32(array)) for name, array in self._fetch(self._names[index])]
        self._plain[index].update(tree_unflatten(found))
        mx.eval(self._plain[index].parameters())


class StoredArrays:
    """The tensors of an artifact folder by name, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._shards = {name: path for path in sorted(folder.glob("model*.safetensors")) for name in _lazily(path)}

    def __call__(self, names: list[str]) -> Iterator[tuple[str, Any]]:
        """Yield (name, array) of every named tensor."""
        for path in sorted({self._shards[name] for name in names}):
            arrays = _lazily(path)
            yield from ((name, arrays[name]) for name in names if self._shards[name] == path)


def open_artifact(folder: Path) -> LayerwiseModel:
    """Return the artifact in `folder` as stock mlx-lm builds it, its layers not read yet."""
    return LayerwiseModel(loading.load(folder), StoredArrays(folder))


def open_unquantized(config: Mapping[str, Any], fetch: Fetch) -> LayerwiseModel:
    """Return the model of `config` with the weights that `fetch` yields."""
    model = loading.build(config)
    model.eval()
    return LayerwiseModel(model, fetch)


def layer_list(model: Any) -> tuple[str, list[Any]]:
    """Return path and list of the model's decoder layers: the longest list of modules that no other holds."""
    return max(_module_lists(model, ""), key=lambda item: len(item[1]))


class _Stage:
    """A stand-in in the layer list: called in place of a layer, it passes every other access on to it."""

    def __init__(self, layer: Any, index: int, run: Callable[..., Any]) -> None:
        self._layer, self._index, self._run = layer, index, run

    def __call__(self, hidden: Any, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._index, hidden, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _replay(out: Any, row: int, count: int) -> Callable[..., Any]:
    """Return a run in which no layer computes: the last one returns its earlier output for sequence `row`."""

    def run(index: int, hidden: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        value = _hidden(out)[row : row + 1] if index == count - 1 else hidden
        if not isinstance(out, tuple):
            return value
        # Classes that pass more than the hidden state from layer to layer unpack a tuple.
        rows = _hidden(out).shape[0]
        return (value, *(_take(item, row, rows) if _is_state(item) else None for item in out[1:]))

    return run


def _by_row(layer: Any, hidden: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run the layer on one sequence at a time, so that only one sequence's activations are held."""
    rows = hidden.shape[0]
    made = []
    for row in range(rows):
        one = _take(hidden, row, rows)
        out = layer(
            one, *(_take(arg, row, rows) for arg in args), **{k: _take(v, row, rows) for k, v in kwargs.items()}
        )
        mx.eval([part for part in (out if isinstance(out, tuple) else (out,)) if isinstance(part, mx.array)])
        made.append(out)
    joined = _join(made)
    mx.eval(_hidden(joined))
    return joined


def _take(value: Any, row: int, rows: int) -> Any:
    """Return the part of an argument that belongs to one sequence; masks [tokens, tokens] belong to all."""
    if _is_state(value):
        return _with(value, {name: _take_second(held, row, rows) for name, held in vars(value).items()})
    if isinstance(value, tuple | list):
        return type(value)(_take(item, row, rows) for item in value)
    if isinstance(value, mx.array) and value.ndim >= 3 and value.shape[0] == rows:
        return value[row : row + 1]
    return value


def _take_second(held: Any, row: int, rows: int) -> Any:
    is_by_row = isinstance(held, mx.array) and held.ndim >= 3 and held.shape[1] == rows
    return held[:, row : row + 1] if is_by_row else held


def _is_state(value: Any) -> bool:
    """Say whether a value is an object that layers hand on: Kimi K3 saves streams [saved, sequences, ...] so."""
    return hasattr(value, "__dict__") and not isinstance(value, nn.Module | mx.array) and not callable(value)


def _with(state: Any, held: Mapping[str, Any]) -> Any:
    made = copy.copy(state)
    vars(made).update(held)
    return made


def _joined_state(made: list[Any]) -> Any:
    """Return the object of all sequences, from that of each."""
    held = {name: [vars(one)[name] for one in made] for name in vars(made[0])}
    arrays = {
        name: mx.concatenate(parts, axis=1)
        for name, parts in held.items()
        if isinstance(parts[0], mx.array) and parts[0].ndim >= 3
    }
    mx.eval(*arrays.values())
    return _with(made[0], arrays)


def _join(made: list[Any]) -> Any:
    if _is_state(made[0]):
        return _joined_state(made)
    if isinstance(made[0], tuple):
        return tuple(_join([item[place] for item in made]) for place in range(len(made[0])))
    if isinstance(made[0], mx.array) and made[0].ndim >= 3:
        return mx.concatenate(made, axis=0) if len(made) > 1 else made[0]
    return made[0]


def _hidden(out: Any) -> Any:
    return out[0] if isinstance(out, tuple) else out


def _drop(layer: Any) -> None:
    layer.update(tree_map(lambda _: mx.array(0.0), layer.parameters()))


def _float32(array: Any) -> Any:
    found = array if isinstance(array, mx.array) else mx.array(array)
    # A CPU's gather_mm computes only float32; and what is compared is weights, not the rounding of activations.
    return found.astype(mx.float32) if mx.issubdtype(found.dtype, mx.floating) else found


def _lazily(path: Path) -> dict[str, Any]:
    return dict(mx.load(str(path)))  # type: ignore[arg-type]


def _module_lists(module: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    for name, value in module.items():
        place = f"{path}.{name}" if path else name
        if isinstance(value, list) and value and all(isinstance(item, nn.Module) for item in value):
            yield place, value
        elif isinstance(value, nn.Module):
            yield from _module_lists(value, place)
