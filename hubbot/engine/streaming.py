"""The moving belt of a conversion: slices are read, computed for every variant and written, all at once.

At any time one slice is being written, one per lane computed, and as many read ahead; nothing else is held.
It knows nothing of folders, names of files or what happens to a repo afterwards.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.engine import apply_view, compute_threads, kept_codes, quantize
from hubbot.engine.floats import fits_half, is_finite
from hubbot.engine.reader import Block, Raw, Shards, Sources
from hubbot.engine.slices import Region, Slice
from hubbot.engine.writer import WeightWriter
from hubbot.errors import ValueMismatch
from hubbot.plans import Encoding

# How often a slice's source bytes are in memory at once: read ahead on each lane, and copied for those computed.
HELD_SOURCE = 3 * compute_threads.CPU_LANES
# And its output bytes: of the slices computed, and of the one being written.
HELD_OUTPUT = compute_threads.CPU_LANES + 2
# One writes, the others read ahead.
IO_THREADS = 3
Read = tuple[Raw | list[Block], Region]


def slice_limit(working_bytes: int, *, source_bytes: int, output_bytes: int) -> int:
    """Return the source bytes of one slice, so that all slices held at once fit into `working_bytes`."""
    ratio = output_bytes / max(1, source_bytes)
    return max(1, int(working_bytes / (HELD_SOURCE + HELD_OUTPUT * ratio)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One variant under construction: its writer and the encoding of every output."""

    writer: WeightWriter
    encodings: Mapping[str, Encoding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belt:
    """What all slices of a run share."""

    shards: Shards
    sources: Sources
    variants: Sequence[Lane]

    def read(self, part: Slice) -> Read:
        """Return what a slice is made from."""
        return self.shards.read(part)

    def compute(self, part: Slice, read: Read) -> list[quantize.Parts]:
        """Return the stored parts per variant, or raise ValueMismatch naming the source tensor at fault."""
        raw, dtype = apply_view.shape(*read, part, self.sources)
        if not is_finite(raw, dtype):
            raise ValueMismatch(
                f"NaN or infinity in {part.move.output!r}, rows {part.start} to {part.stop}",
                where=_culprit(part, [not is_finite(row, dtype) for row in raw]),
                hint="the checkpoint itself is damaged; nothing is published from it",
            )
        encodings = [variant.encodings[part.move.output] for variant in self.variants]
        if any(encoding.dtype == "F16" for encoding in encodings) and not fits_half(raw, dtype):
            raise ValueMismatch(
                f"{part.move.output!r} has values beyond float16's range",
                where=_culprit(part, [not fits_half(row, dtype) for row in raw]),
                hint="use bf16 instead of fp16 for this checkpoint",
            )
        computed, kept = kept_codes.split(encodings)
        made = quantize.encode(raw, dtype, computed)
        blocks = read[0]
        if not kept or not isinstance(blocks, list):
            return made
        return kept_codes.merged(
            encodings, made, [kept_codes.keep(blocks, part, self.sources, one) for one in kept]
        )

    def write(self, part: Slice, results: Sequence[quantize.Parts]) -> None:
        """Put a computed slice where it belongs in every variant's files."""
        output = part.move.output
        for variant, parts in zip(self.variants, results, strict=True):
            quantized = variant.encodings[output].is_quantized
            for suffix, array in parts.items():
                name = f"{output.removesuffix('.weight')}.{suffix}" if quantized else output
                if array.size:
                    row, within = _place(part, array)
                    data = array.reshape(-1).view(np.uint8).data
                    variant.writer.write(name, row, data, within=within)


def run(slices: Sequence[Slice], belt: Belt, progress: Callable[[Slice], None]) -> None:
    """Carry every slice from the shards to the writers; ValueMismatch on NaN, infinity or an fp16 overflow."""
    with ThreadPoolExecutor(IO_THREADS) as pool, compute_threads.Lanes() as lanes:
        writing: Future[None] | None = None
        for part, results in _computed(pool, lanes, belt, slices):
            if writing is not None:
                writing.result()
            writing = pool.submit(belt.write, part, results)
            progress(part)
        if writing is not None:
            writing.result()


def _computed(
    pool: ThreadPoolExecutor, lanes: compute_threads.Lanes, belt: Belt, slices: Sequence[Slice]
) -> Iterator[tuple[Slice, list[quantize.Parts]]]:
    """Yield slices with their parts per variant; the next ones are read and computed meanwhile."""
    reading: deque[tuple[Slice, Future[Read]]] = deque()
    computing: deque[tuple[Slice, Future[list[quantize.Parts]]]] = deque()
    waiting = iter(slices)

    def read_ahead() -> None:
        part = next(waiting, None)
        if part is not None:
            reading.append((part, pool.submit(belt.read, part)))

    def compute(part: Slice, read: Read) -> Callable[[], list[quantize.Parts]]:
        return lambda: belt.compute(part, read)

    for _ in range(lanes.count):
        read_ahead()
    while reading:
        part, future = reading.popleft()
        read = future.result()
        read_ahead()
        computing.append((part, lanes.start(compute(part, read))))
        del read
        # One more than the lanes: a lane that is done finds its next slice waiting.
        if len(computing) > lanes.count:
            part, done = computing.popleft()
            yield part, done.result()
    while computing:
        part, done = computing.popleft()
        yield part, done.result()


def _culprit(part: Slice, faulty: Sequence[bool]) -> str:
    """Return the source tensor at fault: of a stack the expert's own, else the one there is."""
    return part.move.sources[part.start + list(faulty).index(True)] if part.move.stacked else part.source


def _place(part: Slice, array: npt.NDArray[Any]) -> tuple[int, tuple[int, int]]:
    """Return the first step along the parameter's first axis, and how far into it the slice begins."""
    if part.rows is None:
        steps = array.shape[0] if array.ndim else 1
        return part.start * steps // max(1, part.stop - part.start), (0, 1)
    return part.start, (part.rows[0], part.move.shape[1])
