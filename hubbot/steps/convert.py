"""Stream a checkpoint through its plan: one read of the source, every variant written, a few slices in memory.

Reading, arithmetic and writing overlap. Files are made aside, fsynced and renamed; NaN and infinity anywhere in
the source stop it before the rename. It proves nothing about the result: that is the referee's work.
"""

import errno
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hubbot.artifacts import Artifact
from hubbot.checkpoints import Checkpoint
from hubbot.device import ops, quantize, streams
from hubbot.device.reader import Shards, is_finite
from hubbot.device.writer import Stored, WeightWriter
from hubbot.errors import HubbotError, OutOfRoom, ValueMismatch, WrongUsage
from hubbot.finishing import INDEX, finish, write_json
from hubbot.marks import MARK, read_mark, same_origin
from hubbot.plans import Move, Plan, PlannedVariant

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows [start, stop) of a move's first axis."""

    move: Move
    start: int
    stop: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may be in memory and in one file: bytes of source per slice, bytes per output shard."""

    slice_bytes: int
    shard_bytes: int


def convert(
    checkpoint: Checkpoint, plan: Plan, *, source: Path, out: Path, bounds: Bounds, progress: Progress
) -> tuple[Artifact, ...]:
    """Write DIR/<variant>/ for every variant of `plan` and return the artifacts.

    Raises WrongUsage where a folder in the way is not hubbot's own for this source and recipe, OutOfRoom on a
    full disk, ValueMismatch for NaN or infinity in the source or an overflow of fp16.
    """
    for variant in plan.variants:
        _refuse_foreign(out / variant.name, plan, variant)
    _check_room(out, plan.disk_bytes)
    try:
        _stream(checkpoint, plan, source=source, out=out, bounds=bounds, progress=progress)
        artifacts = [
            finish(checkpoint, plan, variant, source=source, folder=_aside(out, variant))
            for variant in plan.variants
        ]
        return tuple(_move_into_place(artifact, out) for artifact in artifacts)
    except OSError as error:
        raise _without_room(error, out) from error
    finally:
        for variant in plan.variants:
            shutil.rmtree(_aside(out, variant), ignore_errors=True)


def _stream(
    checkpoint: Checkpoint, plan: Plan, *, source: Path, out: Path, bounds: Bounds, progress: Progress
) -> None:
    slices = [part for move in plan.moves for part in _slices(checkpoint, move, bounds.slice_bytes)]
    total = sum(part.nbytes for part in slices)
    with ExitStack() as stack:
        shards = stack.enter_context(Shards(source, checkpoint.tensors))
        writers = [
            (variant, stack.enter_context(_writer(plan, variant, out, bounds.shard_bytes)))
            for variant in plan.variants
        ]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        writing: Future[None] | None = None
        done = 0
        for part, results in _computed(pool, shards, checkpoint, plan, slices):
            if writing is not None:
                writing.result()
            writing = pool.submit(_write, writers, part, results)
            done += part.nbytes
            progress(done, total, part.move.output)
        if writing is not None:
            writing.result()
    for variant, writer in writers:
        write_json(_aside(out, variant) / INDEX, writer.index())


def _computed(
    pool: ThreadPoolExecutor, shards: Shards, checkpoint: Checkpoint, plan: Plan, slices: list[Slice]
) -> Iterator[tuple[Slice, list[dict[str, Any]]]]:
    """Yield slices with their evaluated parts per variant: the next is read and computed meanwhile."""
    reading: deque[tuple[Slice, Future[npt.NDArray[Any]]]] = deque()
    computing: deque[tuple[Slice, streams.Pending]] = deque()
    waiting = iter(slices)
    lanes = streams.Lanes()

    def read_ahead() -> None:
        part = next(waiting, None)
        if part is not None:
            dtype = checkpoint.tensors[part.move.sources[0]].dtype
            reading.append((part, pool.submit(_read, shards, part, dtype)))

    for _ in range(lanes.count):
        read_ahead()
    while reading:
        part, future = reading.popleft()
        raw = future.result()
        read_ahead()
        computing.append((part, _start(lanes, checkpoint, plan, part, raw)))
        if len(computing) >= lanes.count:
            yield _finish(*computing.popleft())
    while computing:
        yield _finish(*computing.popleft())


def _read(shards: Shards, part: Slice, dtype: str) -> npt.NDArray[Any]:
    raw = shards.read_move(part.move, part.start, part.stop)
    if not is_finite(raw, dtype):
        raise ValueMismatch(
            f"NaN or infinity in {part.move.output!r}, rows {part.start} to {part.stop}",
            where=_source_of(part),
            hint="the checkpoint itself is damaged; nothing is published from it",
        )
    return raw


def _source_of(part: Slice) -> str:
    return part.move.sources[part.start if part.move.stacked else 0]


def _start(
    lanes: streams.Lanes, checkpoint: Checkpoint, plan: Plan, part: Slice, raw: npt.NDArray[Any]
) -> streams.Pending:
    dtype = checkpoint.tensors[part.move.sources[0]].dtype

    def arithmetic() -> tuple[list[Any], list[dict[str, Any]]]:
        array = ops.shape(raw, dtype, part.move)
        checks = []
        results = []
        for variant in plan.variants:
            encoding = variant.encodings[part.move.output]
            if encoding.dtype == "F16" and dtype != "F16":
                checks.append(ops.all_finite(ops.cast(array, "F16")))
            results.append(quantize.encode(array, encoding))
        return checks, results

    return lanes.start(arithmetic)


def _finish(part: Slice, pending: streams.Pending) -> tuple[Slice, list[dict[str, Any]]]:
    checks, results = pending.wait()
    if not all(checks):
        raise ValueMismatch(
            f"{part.move.output!r} has values beyond float16's range",
            where=_source_of(part),
            hint="use bf16 instead of fp16 for this checkpoint",
        )
    return part, results


def _write(
    writers: Sequence[tuple[PlannedVariant, WeightWriter]], part: Slice, results: Sequence[Mapping[str, Any]]
) -> None:
    output = part.move.output
    for (variant, writer), parts in zip(writers, results, strict=True):
        quantized = variant.encodings[output].is_quantized
        for suffix, data in quantize.raw_bytes(parts).items():
            writer.write(f"{output.removesuffix('.weight')}.{suffix}" if quantized else output, part.start, data)


def _slices(checkpoint: Checkpoint, move: Move, limit: int) -> Iterator[Slice]:
    nbytes = sum(checkpoint.tensors[name].nbytes for name in move.sources)
    if move.rows is not None:
        nbytes //= 2
    count = move.shape[0] if move.shape else 1
    per_row = max(1, nbytes // max(1, count))
    step = max(1, limit // per_row)
    for start in range(0, count, step):
        stop = min(count, start + step)
        yield Slice(move=move, start=start, stop=stop, nbytes=(stop - start) * per_row)


def _writer(plan: Plan, variant: PlannedVariant, out: Path, shard_bytes: int) -> WeightWriter:
    stored: list[Stored] = [
        part for move in plan.moves for part in variant.encodings[move.output].parts(move.output, move.shape)
    ]
    folder = _aside(out, variant)
    shutil.rmtree(folder, ignore_errors=True)
    return WeightWriter(folder, stored, shard_bytes=shard_bytes)


def _aside(out: Path, variant: PlannedVariant) -> Path:
    return out / f".{variant.name}.partial"


def _refuse_foreign(folder: Path, plan: Plan, variant: PlannedVariant) -> None:
    if not folder.exists():
        return
    mark = read_mark(folder)
    if mark is None or not same_origin(mark, plan.source, variant.name):
        raise WrongUsage(
            f"the folder exists and its {MARK} does not mark the same source and recipe",
            where=str(folder),
            hint="choose another --out, or move the folder away",
        )


def _check_room(out: Path, wanted: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < wanted:
        raise OutOfRoom(
            f"the variants need {wanted / 1e9:.2f} GB, the disk has {free / 1e9:.2f} GB free",
            where=str(out),
            hint="free some space or ask for fewer variants",
        )


def _move_into_place(artifact: Artifact, out: Path) -> Artifact:
    final = out / artifact.variant
    shutil.rmtree(final, ignore_errors=True)
    Path(artifact.path).replace(final)
    return Artifact.from_json({**artifact.to_json(), "path": str(final)})


def _without_room(error: OSError, out: Path) -> HubbotError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfRoom("the disk is full", where=str(out), hint="free some space; nothing was left half-written")
    return OutOfRoom(f"a file could not be written or read: {error}", where=str(out))
