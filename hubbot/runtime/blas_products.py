"""MLX's matrix products carried out by numpy's BLAS for as long as a block lasts, where a CPU is faster so.

MLX's own CPU products reach 4 GFLOP/s on Linux, numpy's BLAS 200 on the same two cores; on a Mac both use
Accelerate. Which one is taken is measured once per process. Products are float32, tokens grouped by expert, and
a stored weight is widened or decoded in blocks of rows. It knows nothing of models.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TypeAlias

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.runtime.attention_products import attention
from hubbot.runtime.blas_threads import thread_count
from hubbot.runtime.decoded_rows import decode

Floats: TypeAlias = npt.NDArray[np.float32]
# Rows [start, stop) of a weight [out, in] as float32.
Rows: TypeAlias = Callable[[int, int], Floats]
# Float32 bytes of a weight that are decoded at a time: a third-level cache holds them.
BLOCK_BYTES: Final = 8 << 20
# BLAS must be this many times as fast as MLX before it is taken.
WORTHWHILE: Final = 2.0
AGREEMENT: Final = 1e-4
# How often a product is timed.
FEWEST_RUNS, MOST_RUNS, ENOUGH_SECONDS = 2, 5, 0.02


class NotHere(Exception):
    """A product is left to MLX: of integers, of 16-bit activations, or inside a function that MLX compiles."""


@contextmanager
def products_by_blas() -> Iterator[None]:
    """Carry out every product of float32 activations by numpy's BLAS, until the end of the block."""
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (mx.array, "__matmul__", _matmul), (mx, "matmul", _matmul), (mx, "addmm", _addmm),
        (mx, "quantized_matmul", _quantized_matmul), (mx, "gather_mm", _gather_mm),
        (mx, "gather_qmm", _gather_qmm), (mx.fast, "scaled_dot_product_attention", _attention),
    ]  # fmt: skip
    before = [getattr(owner, name) for owner, name, _ in places]
    try:
        for (owner, name, made), original in zip(places, before, strict=True):
            setattr(owner, name, _or_else(made, original))
        yield
    finally:
        for (owner, name, _), original in zip(places, before, strict=True):
            setattr(owner, name, original)


@cache
def blas_is_better() -> bool:
    """Say whether this process runs on a CPU on which numpy's BLAS agrees with MLX and is much faster."""
    if mx.default_device() != mx.cpu or not agrees():
        return False
    by_mlx, by_numpy = _rates(thread_count())
    return by_numpy > WORTHWHILE * by_mlx


def operations_per_second() -> float:
    """Return how many multiplications and additions a second the products of this process take, once measured."""
    by_mlx, by_numpy = _rates(thread_count())
    return by_numpy if blas_is_better() else by_mlx


@cache
def _rates(threads: int | None) -> tuple[float, float]:
    """Return the operations a second of a matrix product on MLX's default device and by numpy on `threads`."""
    del threads  # each number of them is measured once
    one, other = (np.random.default_rng(seed).standard_normal((256, 512), dtype=np.float32) for seed in (1, 2))
    left, right = mx.array(one), mx.array(other)
    operations = 2 * len(one) * other.size

    def by_mlx() -> None:
        mx.eval(left @ right.T)

    def by_numpy() -> None:
        np.matmul(one, other.T)

    return operations / _seconds(by_mlx), operations / _seconds(by_numpy)


def agrees() -> bool:
    """Say whether both give the same products of small cases: plain, by expert, quantized, and attention."""
    plain = [float32(case()) for case in _CASES]
    with products_by_blas():
        blas = [float32(case()) for case in _CASES]
    return all(
        bool(np.abs(one - other).max() <= AGREEMENT * np.abs(one).max())
        for one, other in zip(plain, blas, strict=True)
    )


def float32(array: Any) -> Floats:
    """Return an MLX array of floats as float32 of the same shape, without a copy where it is one already.

    Raises NotHere where it holds no floats or cannot be evaluated now.
    """
    if not mx.issubdtype(array.dtype, mx.floating):
        raise NotHere
    _evaluate(array)
    if array.dtype == mx.bfloat16:
        return widened(np.array(array.view(mx.uint16), copy=False), "BF16")
    return widened(np.array(array, copy=False), "F32")


def widened(raw: npt.NDArray[Any], dtype: str) -> Floats:
    """Return stored floats [...], bfloat16 as uint16, as float32 [...]; float32 itself is not copied."""
    if dtype != "BF16":
        return raw.astype(np.float32, copy=False)
    wide: npt.NDArray[np.uint32] = np.left_shift(raw, np.uint32(16), dtype=np.uint32)
    return wide.view(np.float32)


def multiply(tokens: Floats, rows: Rows, count: int) -> Floats:
    """Return `tokens` [n, in] times a weight [count, in] transposed: float32 [n, count].

    The weight is asked for in blocks of rows, the same blocks however it is stored: equal weights give equal bits.
    """
    step = max(1, BLOCK_BYTES // (4 * max(1, tokens.shape[1])))
    out = np.empty((len(tokens), count), np.float32)
    for start in range(0, count, step):
        stop = min(start + step, count)
        np.matmul(tokens, rows(start, stop).T, out=out[:, start:stop])
    return out


def by_expert(
    x: Floats, indices: npt.NDArray[Any], compute: Callable[[int, Floats], Floats], width: int
) -> Floats:
    """Return what the experts of `indices` [...] make of `x` [..., M, in]: float32 [..., M, width].

    Batch axes of both are broadcast. `compute` takes an expert and all its tokens [n, in], and returns [n, width].
    """
    lead = np.broadcast_shapes(x.shape[:-2], indices.shape)
    height, depth = x.shape[-2:]
    tokens = np.broadcast_to(x, (*lead, height, depth))
    chosen = np.broadcast_to(indices, lead).reshape(-1).astype(np.int64)
    out = np.empty((chosen.size, height, width), np.float32)
    order = np.argsort(chosen, kind="stable")
    bounds = np.flatnonzero(np.diff(chosen[order], prepend=-1, append=-1))
    # Of tokens that are broadcast to several experts only one expert's are copied.
    places = np.unravel_index(order, lead)
    for first, last in itertools.pairwise(bounds):
        group = tokens[tuple(place[first:last] for place in places)].reshape(-1, depth)
        out[order[first:last]] = compute(int(chosen[order[first]]), group).reshape(-1, height, width)
    return out.reshape(*lead, height, width)


def _or_else(made: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def product(*args: Any, **kwargs: Any) -> Any:
        try:
            return mx.array(made(*args, **kwargs))
        except NotHere:
            return original(*args, **kwargs)

    return product


def _evaluate(*arrays: Any) -> None:
    try:
        mx.eval(*arrays)
    except (RuntimeError, ValueError) as error:  # inside mx.compile there is nothing to evaluate
        raise NotHere from error


def _activations(array: Any) -> Floats:
    if not isinstance(array, mx.array) or array.dtype != mx.float32 or array.ndim == 0:
        raise NotHere
    return float32(array)


def _matmul(one: Any, other: Any, **_stream: Any) -> Floats:
    left = _activations(one)
    if not isinstance(other, mx.array) or left.ndim < 2 or other.ndim < 2:
        raise NotHere
    if other.ndim > 2:
        product: Floats = np.matmul(left, float32(other))
        return product
    stored = stored_rows(other.T)
    return multiply(left.reshape(-1, left.shape[-1]), stored, other.shape[1]).reshape(*left.shape[:-1], -1)


def _addmm(c: Any, a: Any, b: Any, alpha: float = 1.0, beta: float = 1.0, **_stream: Any) -> Floats:
    if alpha != 1 or beta != 1:
        raise NotHere
    made = _matmul(a, b)
    made += float32(c)
    return made


def _gather_mm(
    a: Any,
    b: Any,
    lhs_indices: Any = None,
    rhs_indices: Any = None,
    *,
    sorted_indices: bool = False,
    **_stream: Any,
) -> Floats:
    del sorted_indices  # they are sorted here in any case
    if lhs_indices is not None or rhs_indices is None or b.ndim != 3:
        raise NotHere
    tokens = _activations(a)
    _evaluate(b, rhs_indices)
    width = int(b.shape[-1])
    return by_expert(
        tokens, np.array(rhs_indices),
        lambda expert, group: multiply(group, stored_rows(b[expert].T), width), width,
    )  # fmt: skip


def _quantized_matmul(
    x: Any, w: Any, scales: Any, biases: Any = None, transpose: bool = True, **stored: Any
) -> Floats:
    if not transpose or w.ndim != 2:
        raise NotHere
    tokens = _activations(x)
    rows = _decoded_rows(w, scales, biases, stored)
    return multiply(tokens.reshape(-1, tokens.shape[-1]), rows, w.shape[0]).reshape(*tokens.shape[:-1], -1)


def _gather_qmm(
    x: Any, w: Any, scales: Any, biases: Any = None, lhs_indices: Any = None, rhs_indices: Any = None,
    transpose: bool = True, *, sorted_indices: bool = False, **stored: Any,
) -> Floats:  # fmt: skip
    del sorted_indices
    if not transpose or lhs_indices is not None or rhs_indices is None or w.ndim != 3:
        raise NotHere
    tokens = _activations(x)
    _evaluate(rhs_indices)
    width = int(w.shape[1])
    return by_expert(
        tokens, np.array(rhs_indices),
        lambda expert, group: multiply(group, experts_rows(expert, w, scales, biases, stored), width), width,
    )  # fmt: skip


def _attention(
    q: Any, k: Any, v: Any, *, scale: float, mask: Any = None, sinks: Any = None, **_stream: Any
) -> Floats:
    given = mask
    if isinstance(mask, mx.array):
        _evaluate(mask)
        given = np.array(mask, copy=False) if mask.dtype == mx.bool_ else float32(mask)
    return attention(
        _activations(q), float32(k), float32(v), scale=scale, mask=given,
        sinks=None if sinks is None else float32(sinks),
    )  # fmt: skip


def stored_rows(weight: Any) -> Rows:
    """Return the rows of an MLX weight [out, in] of any float type."""
    _evaluate(weight)
    return lambda start, stop: float32(weight[start:stop])


def experts_rows(expert: int, words: Any, scales: Any, biases: Any, stored: Mapping[str, Any]) -> Rows:
    """Return the decoded rows of one expert of a quantized MLX weight [experts, out, words]."""
    own = dict(stored)
    if own.get("global_scale") is not None:
        own["global_scale"] = own["global_scale"][expert]
    return _decoded_rows(words[expert], scales[expert], None if biases is None else biases[expert], own)


def _decoded_rows(words: Any, scales: Any, biases: Any, stored: dict[str, Any]) -> Rows:
    """Return the decoded rows of a quantized MLX weight [out, words]."""
    _evaluate(words, scales)
    return lambda start, stop: decode(
        words[start:stop], scales[start:stop], None if biases is None else biases[start:stop], stored
    )


def _seconds(work: Callable[[], None]) -> float:
    """Return the least time of up to five runs after a first one; slow work is known after fewer."""
    work()
    took: list[float] = []
    while len(took) < FEWEST_RUNS or (len(took) < MOST_RUNS and sum(took) < ENOUGH_SECONDS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return max(min(took), 1e-9)


def _numbers(*shape: int) -> Any:
    return mx.array(np.random.default_rng(shape).standard_normal(shape, dtype=np.float32))


def _quantized_product(mode: str) -> Any:
    words, scales, *biases = mx.quantize(_numbers(24, 64), mode=mode)
    return mx.quantized_matmul(_numbers(5, 64), words, scales, biases[0] if biases else None, mode=mode)


def _quantized_experts() -> Any:
    words, scales, biases = mx.quantize(_numbers(4, 24, 64))
    chosen = mx.array([[0, 3], [1, 0], [3, 2]])
    return mx.gather_qmm(_numbers(3, 1, 1, 64), words, scales, biases, rhs_indices=chosen)


_CASES: Final[tuple[Callable[[], Any], ...]] = (
    lambda: _numbers(2, 5, 32) @ _numbers(24, 32).astype(mx.bfloat16).T,
    lambda: mx.addmm(_numbers(24), _numbers(5, 32), _numbers(24, 32).T),
    lambda: _numbers(2, 3, 5, 32) @ _numbers(3, 32, 8),
    lambda: mx.gather_mm(
        _numbers(6, 1, 1, 32), _numbers(4, 24, 32).swapaxes(-1, -2),
        rhs_indices=mx.array([[0, 3], [1, 0], [3, 2], [2, 0], [1, 3], [0, 2]]),
    ),
    lambda: _quantized_product("affine"),
    lambda: _quantized_product("mxfp4"),
    _quantized_experts,
    lambda: mx.fast.scaled_dot_product_attention(
        _numbers(2, 4, 6, 8), _numbers(2, 2, 6, 8), _numbers(2, 2, 6, 8), scale=0.3, mask="causal"
    ),
)  # fmt: skip
