"""Run a model one layer at a time: each layer's weights are fetched, used on every sequence and dropped.

The entries of the model's layer list are replaced by stand-ins that load a layer, call it and drop it, so any
mlx-lm class runs unchanged in the memory of one layer. It computes in float32 and knows nothing of sources.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.models.switch_layers import SwitchLinear

from hubbot.runtime import loading
from hubbot.runtime.blas_products import products_by_blas
from hubbot.runtime.expert_stacks import ExpertStack, computing_stacks, stand_in

Floats: TypeAlias = npt.NDArray[np.float32]
Fetch: TypeAlias = Callable[[list[str]], Iterable[tuple[str, Any]]]
# Told after each layer: its number, how many there are, and hidden states [sequences, tokens, width].
AfterLayer: TypeAlias = Callable[[int, int, Any], None]
# Tokens of several sequences that a layer is given at once where numpy multiplies: an expert's weight is then
# decoded once for all of them.
BATCH_TOKENS = 2048
# Float32 bytes of logits that are computed together.
LOGIT_BYTES = 1 << 29


class LayerwiseModel:
    """A model whose layers hold weights only while they run.

    `model` is an mlx-lm model whose weights are not evaluated yet; `fetch` yields (name, array) for the
    parameters it is asked for, as MLX or numpy arrays of any float type or as an `ExpertStack`. With `by_blas`
    numpy's BLAS carries out the products, 16-bit weights stay as they are stored, and stacks are read expert by
    expert.
    """

    def __init__(self, model: Any, fetch: Fetch, *, by_blas: bool = False) -> None:
        self._model = model
        self._fetch = fetch
        self._by_blas = by_blas
        self._stacks: dict[int, ExpertStack] = {}
        self._modules = dict(model.named_modules())
        path, self._layers = layer_list(model)
        parameters = dict(tree_flatten(model.parameters()))
        names = list(parameters)
        # Whoever fetches a source reads floats; a table of experts must stay one of whole numbers.
        self._tables = {n: a.dtype for n, a in parameters.items() if mx.issubdtype(a.dtype, mx.integer)}
        self._prefixes = [f"{path}.{index}." for index in range(len(self._layers))]
        self._names = [[name for name in names if name.startswith(prefix)] for prefix in self._prefixes]
        held = {name for group in self._names for name in group}
        self._plain = list(self._layers)
        for layer in self._plain:
            _drop(layer)
        rest = [name for name in names if name not in held]
        model.update(tree_unflatten([(name, self._loaded(name, value)) for name, value in fetch(rest)]))
        mx.eval([array for name, array in tree_flatten(model.parameters()) if name not in held])

    def logits(
        self, ids: npt.NDArray[np.int64], after_layer: AfterLayer, scored: slice = slice(None)
    ) -> Iterator[Floats]:
        """Yield float32 logits [scored tokens, vocabulary] of every row of `ids` [sequences, tokens], in order.

        `scored` are the tokens of a sequence whose logits are wanted.
        """
        last: list[Any] = []
        together = max(1, BATCH_TOKENS // ids.shape[1]) if self._by_blas else 1

        def run(index: int, hidden: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            layer = self._plain[index]
            self._load(index)
            out = _in_batches(layer, hidden, args, kwargs, together)
            _drop(layer)
            self._stacks.clear()
            mx.clear_cache()
            last[:] = [out]
            after_layer(index, len(self._plain), _hidden(out))
            return out

        self._stage(run)
        with self._products():
            self._model(mx.array(ids))
        yield from self._answers(ids, last[0], scored)

    def _answers(self, ids: npt.NDArray[np.int64], out: Any, scored: slice) -> Iterator[Floats]:
        """Yield the logits of every sequence, given what the last layer returned for all of them."""
        row, together = 0, 1
        while row < len(ids):
            stop = min(row + together, len(ids))
            self._stage(_replay(out, slice(row, stop), scored, len(self._plain)))
            with self._products():
                logits = self._model(mx.array(ids[row:stop])).astype(mx.float32)
                mx.eval(logits)
            yield from np.array(logits)
            together = max(1, LOGIT_BYTES // (4 * logits[0].size)) if self._by_blas else 1
            row = stop

    def _products(self) -> AbstractContextManager[None]:
        return _by_blas(self._stacks) if self._by_blas else nullcontext()

    def _stage(self, run: Callable[..., Any]) -> None:
        self._layers[:] = [_Stage(layer, index, run) for index, layer in enumerate(self._plain)]

    def _load(self, index: int) -> None:
        prefix = self._prefixes[index]
        found = [(n.removeprefix(prefix), self._loaded(n, value)) for n, value in self._fetch(self._names[index])]
        self._plain[index].update(tree_unflatten(found))
        mx.eval(self._plain[index].parameters())

    def _loaded(self, name: str, value: Any) -> Any:
        """Return what a parameter holds: float32, or where numpy multiplies its stored bits or a stand-in."""
        path, _, leaf = name.rpartition(".")
        module = self._modules.get(path)
        if name in self._tables:
            return (value if isinstance(value, mx.array) else mx.array(value)).astype(self._tables[name])
        if isinstance(value, ExpertStack):
            if not self._by_blas or leaf != "weight" or type(module) is not SwitchLinear:
                whole = _float32(value.whole())
                mx.eval(whole)  # at once, so that the stored bits of one stack only stand beside it
                return whole
            self._stacks[id(module)] = value
            return stand_in(value.shape)
        if self._by_blas and leaf == "weight" and type(module) in {SwitchLinear, nn.Linear, nn.Embedding}:
            return value if isinstance(value, mx.array) else mx.array(value)
        return _float32(value)


class StoredArrays:
    """The tensors of an artifact folder by name, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._shards = {name: path for path in sorted(folder.glob("model*.safetensors")) for name in _lazily(path)}

    def __call__(self, names: list[str]) -> Iterator[tuple[str, Any]]:
        """Yield (name, array) of every named tensor."""
        for path in sorted({self._shards[name] for name in names}):
            arrays = _lazily(path)
            yield from ((name, arrays[name]) for name in names if self._shards[name] == path)


def open_artifact(folder: Path, *, by_blas: bool = False) -> LayerwiseModel:
    """Return the artifact in `folder` as stock mlx-lm builds it, its layers not read yet."""
    return LayerwiseModel(loading.load(folder), StoredArrays(folder), by_blas=by_blas)


def open_unquantized(config: Mapping[str, Any], fetch: Fetch, *, by_blas: bool = False) -> LayerwiseModel:
    """Return the model of `config` with the weights that `fetch` yields."""
    model = loading.build(config)
    model.eval()
    return LayerwiseModel(model, fetch, by_blas=by_blas)


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


def _replay(out: Any, rows: slice, scored: slice, count: int) -> Callable[..., Any]:
    """Return a run in which no layer computes: the last one returns its earlier output for sequences `rows`.

    What follows the layers looks at every token by itself, so tokens that are not `scored` are left out.
    """

    def run(index: int, hidden: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
        value = _hidden(out)[rows, scored] if index == count - 1 else hidden
        if not isinstance(out, tuple):
            return value
        # Classes that pass more than the hidden state from layer to layer unpack a tuple.
        every = _hidden(out).shape[0]
        return (
            value,
            *(_scored(_take(item, rows, every), scored) if _is_state(item) else None for item in out[1:]),
        )

    return run


def _in_batches(layer: Any, hidden: Any, args: tuple[Any, ...], kwargs: dict[str, Any], together: int) -> Any:
    """Run the layer on `together` sequences at a time, so that only their activations are held."""
    count = hidden.shape[0]
    made = []
    for row in range(0, count, together):
        rows = slice(row, row + together)
        out = layer(
            _take(hidden, rows, count),
            *(_take(arg, rows, count) for arg in args),
            **{name: _take(value, rows, count) for name, value in kwargs.items()},
        )
        mx.eval([part for part in (out if isinstance(out, tuple) else (out,)) if isinstance(part, mx.array)])
        made.append(out)
    joined = _join(made)
    mx.eval(_hidden(joined))
    return joined


def _take(value: Any, rows: slice, count: int) -> Any:
    """Return the part of an argument that belongs to sequences `rows`; masks [tokens, tokens] belong to all."""
    if _is_state(value):
        return _with(value, {name: _take_second(held, rows, count) for name, held in vars(value).items()})
    if isinstance(value, tuple | list):
        return type(value)(_take(item, rows, count) for item in value)
    if isinstance(value, mx.array) and value.ndim >= 3 and value.shape[0] == count:
        return value[rows]
    return value


def _take_second(held: Any, rows: slice, count: int) -> Any:
    is_by_row = isinstance(held, mx.array) and held.ndim >= 3 and held.shape[1] == count
    return held[:, rows] if is_by_row else held


def _scored(state: Any, scored: slice) -> Any:
    arrays = {name: held for name, held in vars(state).items() if isinstance(held, mx.array) and held.ndim >= 3}
    return _with(state, {name: held[:, :, scored] for name, held in arrays.items()})


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


@contextmanager
def _by_blas(stacks: Mapping[int, ExpertStack]) -> Iterator[None]:
    with products_by_blas(), computing_stacks(stacks):
        yield


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
