"""The moving belt of a conversion: slices are read, computed for every variant and written, all at once.

At any time one slice is being written, one per lane computed, and as many read ahead; nothing else is held.
It knows nothing of folders, names of files or what happens to a repo afterwards.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from hubbot.checkpoints import TensorInfo
from hubbot.device import ops, quantize, streams
from hubbot.device.reader import Shards, is_finite
from hubbot.device.writer import WeightWriter
from hubbot.errors import ValueMismatch
from hubbot.plans import Encoding, Move

# How often a slice's source bytes are in memory at once: read ahead on each lane, and copied for those computed.
HELD_SOURCE = 3 * streams.CPU_LANES
# And its output bytes: of the slices computed, and of the one being written.
HELD_OUTPUT = streams.CPU_LANES + 2


def slice_limit(working_bytes: int, *, source_bytes: int, output_bytes: int) -> int:
    """Return the source bytes of one slice, so that all slices held at once fit into `working_bytes`."""
    ratio = output_bytes / max(1, source_bytes)
    return max(1, int(working_bytes / (HELD_SOURCE + HELD_OUTPUT * ratio)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows [start, stop) of a move's first axis; `nbytes` of source."""

    move: Move
    start: int
    stop: int
    nbytes: int

    @property
    def source(self) -> str:
        """Return the source tensor that an error about this slice should name."""
        return self.move.sources[self.start if self.move.stacked else 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One variant under construction: its writer and the encoding of every output."""

    writer: WeightWriter
    encodings: Mapping[str, Encoding]


def slices_of(move: Move, tensors: Mapping[str, TensorInfo], limit: int) -> Iterator[Slice]:
    """Yield `move` in slices of about `limit` source bytes, at least one step of its first axis each."""
    nbytes = sum(tensors[name].nbytes for name in move.sources)
    if move.rows is not None:
        nbytes //= 2
    count = move.shape[0] if move.shape else 1
    per_row = max(1, nbytes // max(1, count))
    step = max(1, limit // per_row)
    for start in range(0, count, step):
        stop = min(count, start + step)
        yield Slice(move=move, start=start, stop=stop, nbytes=(stop - start) * per_row)


def run(
    slices: Sequence[Slice],
    *,
    shards: Shards,
    tensors: Mapping[str, TensorInfo],
    variants: Sequence[Lane],
    progress: Callable[[Slice], None],
) -> None:
    """Carry every slice from `shards` to the writers; ValueMismatch on NaN, infinity or an fp16 overflow."""
    with ThreadPoolExecutor(2) as pool:
        writing: Future[None] | None = None
        for part, results in _computed(pool, shards, tensors, variants, slices):
            if writing is not None:
                writing.result()
            writing = pool.submit(_write, variants, part, results)
            progress(part)
        if writing is not None:
            writing.result()


def _computed(
    pool: ThreadPoolExecutor,
    shards: Shards,
    tensors: Mapping[str, TensorInfo],
    variants: Sequence[Lane],
    slices: Sequence[Slice],
) -> Iterator[tuple[Slice, list[dict[str, Any]]]]:
    """Yield slices with their evaluated parts per variant; the next ones are read and computed meanwhile."""
    reading: deque[tuple[Slice, Future[npt.NDArray[Any]]]] = deque()
    computing: deque[tuple[Slice, streams.Pending]] = deque()
    waiting = iter(slices)
    lanes = streams.Lanes()

    def read_ahead() -> None:
        part = next(waiting, None)
        if part is not None:
            reading.append((part, pool.submit(_read, shards, part, tensors[part.source].dtype)))

    for _ in range(lanes.count):
        read_ahead()
    while reading:
        part, future = reading.popleft()
        raw = future.result()
        read_ahead()
        computing.append((part, _start(lanes, tensors[part.source].dtype, variants, part, raw)))
        # One more than the lanes: a lane that is done finds its next slice waiting.
        if len(computing) > lanes.count:
            yield _finish(shards, tensors, *computing.popleft())
    while computing:
        yield _finish(shards, tensors, *computing.popleft())


def _read(shards: Shards, part: Slice, dtype: str) -> npt.NDArray[Any]:
    raw = shards.read_move(part.move, part.start, part.stop)
    if not is_finite(raw, dtype):
        raise ValueMismatch(
            f"NaN or infinity in {part.move.output!r}, rows {part.start} to {part.stop}",
            where=_culprit(part, [not is_finite(row, dtype) for row in raw]),
            hint="the checkpoint itself is damaged; nothing is published from it",
        )
    return raw


def _culprit(part: Slice, faulty: Sequence[bool]) -> str:
    """Return the source tensor at fault: of a stack the expert's own, else the one there is."""
    return part.move.sources[part.start + list(faulty).index(True)] if part.move.stacked else part.source


def _start(
    lanes: streams.Lanes, dtype: str, variants: Sequence[Lane], part: Slice, raw: npt.NDArray[Any]
) -> streams.Pending:
    def arithmetic() -> tuple[list[Any], list[dict[str, Any]]]:
        array = ops.shape(raw, dtype, part.move)
        checks = []
        results = []
        for variant in variants:
            encoding = variant.encodings[part.move.output]
            if encoding.dtype == "F16" and dtype != "F16":
                checks.append(ops.all_finite(ops.cast(array, "F16")))
            results.append(quantize.encode(array, encoding))
        return checks, results

    return lanes.start(arithmetic)


def _finish(
    shards: Shards, tensors: Mapping[str, TensorInfo], part: Slice, pending: streams.Pending
) -> tuple[Slice, list[dict[str, Any]]]:
    checks, results = pending.wait()
    if not all(checks):
        raw = shards.read_move(part.move, part.start, part.stop)
        raise ValueMismatch(
            f"{part.move.output!r} has values beyond float16's range",
            where=_culprit(part, [ops.overflows(row, tensors[part.source].dtype) for row in raw]),
            hint="use bf16 instead of fp16 for this checkpoint",
        )
    return part, results


def _write(variants: Sequence[Lane], part: Slice, results: Sequence[Mapping[str, Any]]) -> None:
    output = part.move.output
    for variant, parts in zip(variants, results, strict=True):
        quantized = variant.encodings[output].is_quantized
        for suffix, data in quantize.raw_bytes(parts).items():
            name = f"{output.removesuffix('.weight')}.{suffix}" if quantized else output
            variant.writer.write(name, part.start, data)
