"""Cut a conversion into windows: moves that read neighbouring shards and fill the same weight files.

After each window all its files are complete: there a conversion can resume, a shard can be deleted and the
values gate can judge. Windows depend on the source alone, never on the variants.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hubbot.checkpoints import TensorInfo
from hubbot.moves import Move
from hubbot.plans import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Consecutive moves: `shards` are what they read, `released` those of them that no later window reads."""

    number: int
    moves: tuple[Move, ...]
    shards: tuple[str, ...]
    released: tuple[str, ...]
    nbytes: int


def windows_of(plan: Plan, tensors: Mapping[str, TensorInfo], limit: int) -> tuple[Window, ...]:
    """Return the windows of a plan, each of about `limit` source bytes (more only for a single larger move).

    Example: with shards a and b, where a move reads both, shard a is released by the window of that move and not
    by an earlier one.
    """
    reads = _Reads(plan, tensors)
    position = {move.output: index for index, move in enumerate(plan.moves)}
    ordered = sorted(plan.moves, key=lambda move: (max(reads.shards(move)), position[move.output]))
    groups = list(_groups(ordered, reads, limit))
    last: dict[str, int] = {}
    for number, group in enumerate(groups):
        last.update(dict.fromkeys((shard for move in group for shard in reads.shards(move)), number))
    return tuple(
        Window(
            number=number,
            moves=tuple(group),
            shards=tuple(sorted({shard for move in group for shard in reads.shards(move)})),
            released=tuple(sorted(shard for shard, window in last.items() if window == number)),
            nbytes=sum(reads.nbytes(move) for move in group),
        )
        for number, group in enumerate(groups)
    )


def peak_shard_bytes(windows: Sequence[Window], sizes: Mapping[str, int]) -> int:
    """Return the most bytes of shards that are needed on disk at once when each is released after its window."""
    here: set[str] = set()
    peak = 0
    for window in windows:
        here |= set(window.shards)
        peak = max(peak, sum(sizes[shard] for shard in here))
        here -= set(window.released)
    return peak


class _Reads:
    """What each move reads: the files, and its share of the bytes where several moves share a source."""

    def __init__(self, plan: Plan, tensors: Mapping[str, TensorInfo]) -> None:
        self._tensors = tensors
        self._stored = {
            packed.name: tuple(part.tensor for part in packed.parts.values()) for packed in plan.packed
        }
        self._users = Counter(name for move in plan.moves for name in set(move.sources))
        self._shards: dict[str, frozenset[str]] = defaultdict(frozenset)

    def shards(self, move: Move) -> frozenset[str]:
        if move.output not in self._shards:
            names = (stored for source in move.sources for stored in self._stored.get(source, (source,)))
            self._shards[move.output] = frozenset(self._tensors[name].shard for name in names)
        return self._shards[move.output]

    def nbytes(self, move: Move) -> int:
        return sum(
            self._tensors[stored].nbytes // self._users[source]
            for source in move.sources
            for stored in self._stored.get(source, (source,))
        )


def _groups(moves: Sequence[Move], reads: _Reads, limit: int) -> Iterator[list[Move]]:
    group: list[Move] = []
    size = 0
    for move in moves:
        nbytes = reads.nbytes(move)
        if group and size + nbytes > limit:
            yield group
            group, size = [], 0
        group.append(move)
        size += nbytes
    if group:
        yield group
