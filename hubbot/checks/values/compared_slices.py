"""Reads the artifact in slices of bounded size and compares each with its source, on every core, in order.

A slice is some rows of a plain parameter or some experts of a stack. It judges nothing.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.readers.tensor_files import Floats
from hubbot.checks.values import exact_match
from hubbot.checks.values.exact_match import Match, Parts

SLICE_BYTES = 32 << 20
# As many as there are cores for this process; more wait for the disk.
THREADS = max(2, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
SEEDED_ROWS = 64
SEED = 20_26


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Steps [start, stop) of a parameter's first axis; `place` says which experts they are, if any."""

    parameter: StoredParameter
    place: ExpertPlace | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Seeded rows of a slice: of the source as float32 [steps, rows, in], of the artifact as stored."""

    source: Floats
    parts: Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A slice after it was read: the source's shape where it is not the slice's, else the match and a sample."""

    slice: Slice
    shape: tuple[int, ...]
    match: Match | None
    sample: Sample | None


class Slices:
    """An artifact and its source, read together."""

    def __init__(self, expected: Expectations, stored: StoredParameters) -> None:
        self._expected = expected
        self._stored = stored
        plain = [p.dtype for p in stored.by_name.values() if p.mode == "none"]
        # What a converter brings all weights to before it quantizes them, if it does.
        self._dtype = max(sorted(set(plain)), key=plain.count, default="F32")

    def of(self, parameter: StoredParameter) -> Iterator[Slice]:
        """Yield the slices of one parameter."""
        place = self._expected.place(parameter.name)
        lead = parameter.shape[0] if parameter.shape else 1
        step = max(1, SLICE_BYTES // max(1, 4 * int(np.prod(parameter.shape[1:], dtype=np.int64))))
        for start in range(0, lead, step):
            yield Slice(parameter=parameter, place=place, start=start, stop=min(lead, start + step))

    def source(self, part: Slice) -> Floats:
        """Return the source of a slice, float32 [rows, ...] or [experts, out, in]."""
        if part.place is None:
            return self._expected.rows(part.parameter.name, part.start, part.stop)
        return np.stack([self._expected.expert(part.place, expert) for expert in range(part.start, part.stop)])

    def parts(self, part: Slice) -> Parts:
        """Return the stored parts of a slice by name, each [rows or experts, ...] as stored."""
        return self._stored.parts(part.parameter, part.start, part.stop)

    def compare(self, part: Slice) -> Compared:
        """Read a slice and its source and compare them."""
        parts = self.parts(part)
        if part.place is None:
            source = self._expected.rows(part.parameter.name, part.start, part.stop)
            shape = (part.stop - part.start, *part.parameter.shape[1:])
            if source.shape != shape:
                return Compared(slice=part, shape=source.shape, match=None, sample=None)
            return Compared(
                slice=part,
                shape=shape,
                match=self._match(part.parameter, source, parts),
                sample=_plain(part, source, parts),
            )
        return self._experts(part, part.place, parts)

    def _experts(self, part: Slice, place: ExpertPlace, parts: Parts) -> Compared:
        # One expert at a time: the source of a whole slice never stands in memory.
        rows = seeded_rows(part.parameter.shape[1])
        matches, samples = [], []
        for expert in range(part.start, part.stop):
            source = self._expected.expert(place, expert)
            if source.shape != part.parameter.shape[1:]:
                return Compared(slice=part, shape=(0, *source.shape), match=None, sample=None)
            own = {name: raw[expert - part.start : expert - part.start + 1] for name, raw in parts.items()}
            matches.append(self._match(part.parameter, source[None], own))
            samples.append(source[rows])
        some = {name: raw[:, rows] if raw.ndim > 1 else raw for name, raw in parts.items()}
        return Compared(
            slice=part,
            shape=(part.stop - part.start, *part.parameter.shape[1:]),
            match=exact_match.joined(matches),
            sample=Sample(source=np.stack(samples), parts=some),
        )

    def _match(self, parameter: StoredParameter, source: Floats, parts: Parts) -> Match:
        exact = self._expected.source_dtype(parameter.name) == parameter.dtype
        return exact_match.match(parameter, source, parts, also_dtype=self._dtype, exact=exact)

    def compared(self, slices: Iterable[Slice]) -> Iterator[Compared]:
        """Yield every slice compared, in order, a few being read ahead."""
        waiting: deque[Future[Compared]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for part in slices:
                    waiting.append(pool.submit(self.compare, part))
                    if len(waiting) > THREADS:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def seeded_rows(count: int) -> npt.NDArray[np.int64]:
    """Return the rows that are looked at in every expert of `count` rows, the same for all: int64 [seeded]."""
    rows: npt.NDArray[np.int64] = np.sort(np.random.default_rng(SEED).permutation(count)[:SEEDED_ROWS])
    return rows


def _plain(part: Slice, source: Floats, parts: Parts) -> Sample | None:
    if part.parameter.mode == "none" or source.ndim != 2:
        return None
    # Decoders are compared on these rows; there is nothing to contrast.
    rows = seeded_rows(len(source))
    return Sample(source=source[rows], parts={name: raw[rows] for name, raw in parts.items()})
