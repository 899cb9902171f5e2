"""Stream slices through read, compute and write, for all variants at once, with a few slices in memory.

At any time one slice is being written, one per lane computed, and as many read ahead; nothing else is held.
It knows nothing of folders or names of files.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.engine import apply_view, compute_threads, kept_codes, quantize
from hubbot.engine.floats import NotFinite, all_finite, fits_float16
from hubbot.engine.formats import kernels
from hubbot.engine.reader import Block, Raw, Shards, Sources
from hubbot.engine.slices import Region, Slice
from hubbot.engine.stage_times import StageTimes
from hubbot.engine.writer import WeightWriter
from hubbot.errors import ValueMismatch
from hubbot.plans import Encoding

# How many slices' source bytes are in memory at once: read ahead per lane, and copied for those computed.
HELD_SOURCE = 3 * compute_threads.CPU_LANES
# How many slices are written at once, each variant at its own pace.
WRITING = 2
# And their output bytes: of the slices computed, and of those being written.
HELD_OUTPUT = compute_threads.CPU_LANES + 1 + WRITING
# Threads that read ahead: the file cache gives a few as much as it has.
READERS = max(2, min(4, compute_threads.CPU_LANES // 2))
Read = tuple[Raw | list[Block], Region]


def slice_limit(working_bytes: int, *, source_bytes: int, output_bytes: int) -> int:
    """Return the source bytes of one slice, so that all slices held at once fit into `working_bytes`."""
    ratio = output_bytes / max(1, source_bytes)
    return max(1, int(working_bytes / (HELD_SOURCE + HELD_OUTPUT * ratio)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantOutput:
    """One variant under construction: its writer and the encoding of every output."""

    writer: WeightWriter
    encodings: Mapping[str, Encoding]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """What all slices of a conversion share: where they are read from, and the variants they are written to.

    `nbytes` are the bytes of the whole source, by which the kernels are chosen.
    """

    shards: Shards
    sources: Sources
    variants: Sequence[VariantOutput]
    nbytes: int
    times: StageTimes
    lanes: int = compute_threads.CPU_LANES

    def read(self, part: Slice) -> Read:
        """Return what a slice is made from, as `Shards.read` does."""
        with self.times.measure("read"):
            return self.shards.read(part)

    def compute(self, part: Slice, read: Read) -> list[quantize.Parts]:
        """Return the stored parts of a slice for each variant, as `quantize.encode` does.

        Raises ValueMismatch, naming the source tensor, for NaN, infinity or a value beyond float16 where a variant
        needs float16.
        """
        with self.times.measure("compute"):
            raw, dtype = apply_view.apply(*read, part, self.sources)
            try:
                return self._encode(part, read[0], raw, dtype)
            except NotFinite as error:
                raise ValueMismatch(
                    f"NaN or infinity in {part.move.output!r}, rows {part.start} to {part.stop}",
                    where=_culprit(part, [not all_finite(row, dtype) for row in raw]),
                    hint="the checkpoint itself is damaged; nothing is published from it",
                ) from error

    def _encode(self, part: Slice, blocks: Raw | list[Block], raw: Raw, dtype: str) -> list[quantize.Parts]:
        encodings = [variant.encodings[part.move.output] for variant in self.variants]
        if any(encoding.dtype == "F16" for encoding in encodings):
            if not all_finite(raw, dtype):
                raise NotFinite
            if not fits_float16(raw, dtype):
                raise ValueMismatch(
                    f"{part.move.output!r} has values beyond float16's range",
                    where=_culprit(part, [not fits_float16(row, dtype) for row in raw]),
                    hint="use bf16 instead of fp16 for this checkpoint",
                )
        computed, kept = kept_codes.split_kept(encodings)
        made = quantize.encode(raw, dtype, computed, kernels.fastest(dtype, nbytes=self.nbytes))
        if not kept or not isinstance(blocks, list):
            return made
        return kept_codes.merge_kept(
            encodings, made, [kept_codes.stored_parts(blocks, part, self.sources, one) for one in kept]
        )

    def write(self, part: Slice, variant: VariantOutput, parts: quantize.Parts) -> None:
        """Write a computed slice to its place in one variant's files."""
        output = part.move.output
        quantized = variant.encodings[output].is_quantized
        with self.times.measure("write"):
            for suffix, array in parts.items():
                name = f"{output.removesuffix('.weight')}.{suffix}" if quantized else output
                if array.size:
                    row, within = _place(part, array)
                    data = array.reshape(-1).view(np.uint8).data
                    variant.writer.write(name, row, data, within=within)


def stream(slices: Sequence[Slice], run: StreamRun, progress: Callable[[Slice], None]) -> None:
    """Read, compute and write every slice, calling `progress` with each that is computed.

    Raises ValueMismatch as `StreamRun.compute` does, CorruptHeader where a shard ends early, OSError of the disk.
    """
    with (
        ThreadPoolExecutor(READERS) as readers,
        ExitStack() as stack,
        compute_threads.ComputeThreads(run.lanes) as threads,
    ):
        # A variant's files are written by one thread; a slow write of one variant does not hold up the others.
        writers = [stack.enter_context(ThreadPoolExecutor(1)) for _ in run.variants]
        writing: deque[list[Future[None]]] = deque()
        for part, results in _computed(readers, threads, run, slices):
            made = zip(writers, run.variants, results, strict=True)
            writing.append([writer.submit(run.write, part, variant, parts) for writer, variant, parts in made])
            if len(writing) > WRITING:
                _settle(writing.popleft())
            progress(part)
        for futures in writing:
            _settle(futures)


def _settle(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.result()


def _computed(
    pool: ThreadPoolExecutor, threads: compute_threads.ComputeThreads, run: StreamRun, slices: Sequence[Slice]
) -> Iterator[tuple[Slice, list[quantize.Parts]]]:
    """Yield slices with their parts per variant; the next ones are read and computed meanwhile."""
    reading: deque[tuple[Slice, Future[Read]]] = deque()
    computing: deque[tuple[Slice, Future[list[quantize.Parts]]]] = deque()
    waiting = iter(slices)

    def read_ahead() -> None:
        part = next(waiting, None)
        if part is not None:
            reading.append((part, pool.submit(run.read, part)))

    def compute(part: Slice, read: Read) -> Callable[[], list[quantize.Parts]]:
        return lambda: run.compute(part, read)

    for _ in range(threads.count):
        read_ahead()
    while reading:
        part, future = reading.popleft()
        read = future.result()
        read_ahead()
        computing.append((part, threads.start(compute(part, read))))
        del read
        # One more than the threads: a thread that is done finds its next slice waiting.
        if len(computing) > threads.count:
            part, done = computing.popleft()
            yield part, done.result()
    while computing:
        part, done = computing.popleft()
        yield part, done.result()


def _culprit(part: Slice, faulty: Sequence[bool]) -> str:
    """Return the source tensor that holds the first faulty unit."""
    units = part.stop - part.start
    unit = list(faulty).index(True) * units // len(faulty)
    return part.move.sources[part.start + unit] if part.move.stacked else part.source


def _place(part: Slice, array: npt.NDArray[Any]) -> tuple[int, tuple[int, int]]:
    """Return the first step of the parameter's first axis that the slice covers, and its (row, rows) within it."""
    if part.rows is None:
        steps = array.shape[0] if array.ndim else 1
        return part.start * steps // max(1, part.stop - part.start), (0, 1)
    if part.is_joined:
        return part.start * (part.move.shape[0] // len(part.move.sources)) + part.rows[0], (0, 1)
    return part.start, (part.rows[0], part.move.shape[1])
