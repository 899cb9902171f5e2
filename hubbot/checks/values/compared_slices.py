"""Reads the artifact in slices of bounded size and compares each with its source, on every core, in order.

A slice is some rows of a plain parameter or some experts of a stack. It judges nothing.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.readers.reused_memory import ReusedMemory
from hubbot.checks.readers.tensor_files import Floats, Values, widen
from hubbot.checks.values import exact_match, first_sight
from hubbot.checks.values.exact_match import Match, Parts
from hubbot.checks.values.random_projections import SEED, projected

SLICE_BYTES = 32 << 20
# As many as there are cores for this process; more wait for the disk.
THREADS = max(2, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
SEEDED_ROWS = 64
# Of them, one in so many is enough to tell all experts of a layer apart.
PROJECTED_EVERY = 4
# Those on which the runtime's decoder is compared with numpy's, and the error is measured.
MEASURED_ROWS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Steps [start, stop) of a parameter's first axis; `place` says which experts they are, if any."""

    parameter: StoredParameter
    place: ExpertPlace | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first seeded rows of a slice: of the source as float32 [steps, rows, in], of the artifact as stored."""

    source: Floats
    parts: Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A slice after it was read: the source's shape where it is not the slice's, else the match.

    `sample` is there for a quantized slice; `projections` of source and artifact, float32 [experts, sums], for
    experts: both the same where the artifact is an exact match.
    """

    slice: Slice
    shape: tuple[int, ...]
    match: Match | None
    sample: Sample | None = None
    projections: tuple[Floats, Floats] | None = None


class Slices:
    """An artifact and its source."""

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

    def parts(self, part: Slice, memory: ReusedMemory | None = None) -> Parts:
        """Return the stored parts of a slice by name, each [rows or experts, ...] as stored.

        They may lie in `memory` where it is given.
        """
        return self._stored.parts(part.parameter, part.start, part.stop, memory)

    def match(self, parameter: StoredParameter, source: Values, parts: Parts) -> Match:
        """Compare stored parts with the source's numbers for them."""
        exact = self._expected.source_dtype(parameter.name) == parameter.dtype
        return exact_match.match(parameter, source, parts, also_dtype=self._dtype, exact=exact)

    def stored_source(self, part: Slice, expert: int | None = None, memory: ReusedMemory | None = None) -> Values:
        """Return the source of a plain slice, [rows, ...], or of one expert, [out, in], as it is stored.

        It may lie in `memory` where it is given.
        """
        if part.place is None:
            return Values(*self._expected.stored_rows(part.parameter.name, part.start, part.stop, memory))
        assert expert is not None
        return Values(*self._expected.stored_expert(part.place, expert, memory))


class _Threads(threading.local):
    """What every thread reads into."""

    def __init__(self) -> None:
        self.memory = ReusedMemory()


_threads = _Threads()
# The same steps of the same parameter in artifacts of one source.
Together = Sequence[tuple[Slices, Slice]]


def compare(together: Together) -> list[Compared]:
    """Read a slice of several artifacts and the source of all, and compare each; the first one's source counts."""
    with _threads.memory.again() as memory:
        parts = [own.parts(part, memory) for own, part in together]
        return (_plain if together[0][1].place is None else _experts)(together, parts, memory)


def _plain(together: Together, parts: Sequence[Parts], memory: ReusedMemory) -> list[Compared]:
    slices, first = together[0]
    source = slices.stored_source(first, memory=memory)
    shape = (first.stop - first.start, *first.parameter.shape[1:])
    if source.raw.shape != shape:
        return [Compared(slice=part, shape=source.raw.shape, match=None) for _, part in together]
    return [
        Compared(
            slice=part,
            shape=shape,
            match=own.match(part.parameter, source, held),
            sample=_sample(part, source, held),
        )
        for (own, part), held in zip(together, parts, strict=True)
    ]


def _experts(together: Together, parts: Sequence[Parts], memory: ReusedMemory) -> list[Compared]:
    # One expert at a time: the source of a whole slice never stands in memory.
    slices, first = together[0]
    rows = seeded_rows(first.parameter.shape[1])[::PROJECTED_EVERY]
    made = [_Experts(part=part) for _, part in together]
    for expert in range(first.start, first.stop):
        with memory.again():
            source = slices.stored_source(first, expert, memory)
            if source.raw.shape != first.parameter.shape[1:]:
                return [Compared(slice=part, shape=(0, *source.raw.shape), match=None) for _, part in together]
            seeded = widen(source.raw[rows], source.dtype)
            signature = projected(seeded[None])
            step = expert - first.start
            for (own, part), held, one in zip(together, parts, made, strict=True):
                mine = {name: raw[step : step + 1] for name, raw in held.items()}
                match = own.match(part.parameter, Values(source.raw[None], source.dtype), mine)
                one.matches.append(match)
                one.seeded.append(seeded[:MEASURED_ROWS])
                # What is exactly its own source is no other's.
                actual = projected(_decoded(part.parameter, rows_of(mine, rows))) if match.differs else signature
                one.projected.append((signature, actual))
    return [one.compared(rows_of(held, rows[:MEASURED_ROWS])) for one, held in zip(made, parts, strict=True)]


@dataclass(slots=True, kw_only=True)
class _Experts:
    """What was seen of a slice's experts, one after the other."""

    part: Slice
    matches: list[Match] = field(default_factory=list)
    seeded: list[Floats] = field(default_factory=list)
    projected: list[tuple[Floats, Floats]] = field(default_factory=list)

    def compared(self, sampled: Parts) -> Compared:
        """Return them as one; `sampled` are the measured rows as stored."""
        parameter = self.part.parameter
        source, actual = (np.concatenate(sums) for sums in zip(*self.projected, strict=True))
        return Compared(
            slice=self.part,
            shape=(self.part.stop - self.part.start, *parameter.shape[1:]),
            match=exact_match.joined(self.matches),
            sample=None if parameter.mode == "none" else Sample(source=np.stack(self.seeded), parts=sampled),
            projections=(source, actual),
        )


def compared(slices: Iterable[Together]) -> Iterator[list[Compared]]:
    """Yield every slice compared, in order, a few being read ahead."""
    waiting: deque[Future[list[Compared]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for together in slices:
                waiting.append(pool.submit(compare, together))
                if len(waiting) > 2 * THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@cache
def seeded_rows(count: int) -> npt.NDArray[np.int64]:
    """Return the rows that are looked at in every expert of `count` rows, the same for all: int64 [seeded]."""
    rows: npt.NDArray[np.int64] = np.sort(np.random.default_rng(SEED).permutation(count)[:SEEDED_ROWS])
    return rows


def rows_of(parts: Parts, rows: npt.NDArray[np.int64]) -> Parts:
    """Return copies of some rows of experts' parts [experts, out, ...]; a tensor scale has none."""
    return {name: raw[:, rows] if raw.ndim > 1 else raw.copy() for name, raw in parts.items()}


def _decoded(parameter: StoredParameter, parts: Parts) -> Floats:
    if parameter.mode == "none":
        return widen(parts["weight"], parameter.dtype)
    return first_sight.decoded(parameter, parts)


def _sample(part: Slice, source: Values, parts: Parts) -> Sample | None:
    if part.parameter.mode == "none" or source.raw.ndim != 2:
        return None
    # Decoders are compared on these rows; there is nothing to contrast.
    rows = seeded_rows(len(source.raw))[:MEASURED_ROWS]
    return Sample(
        source=widen(source.raw[rows], source.dtype), parts={name: raw[rows] for name, raw in parts.items()}
    )
