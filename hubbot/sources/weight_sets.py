"""Two sets of weights in one folder: whether they agree, as far as headers and a few samples tell.

It never chooses between sets that disagree.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hubbot.checkpoints import RepoFiles, TensorInfo
from hubbot.errors import AmbiguousLayout
from hubbot.sources.weight_files import WeightFiles, reason

# Of every kind of tensor two samples of this many bytes are compared, of all together at most so many.
SAMPLE_BYTES = 4096
SAMPLES_A_KIND = 2
MAX_SAMPLES = 96
CONNECTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sets:
    """Two sets of weights with the names to call them by."""

    files: RepoFiles
    read: str
    beside: str

    def refuse(self, how: str) -> AmbiguousLayout:
        return AmbiguousLayout(
            f"two sets of weights are here and disagree, {self.read} and {self.beside}: {how}",
            where=self.files.repo.id,
            hint=f"transformers reads {self.read}: to convert that, take {self.beside} away; to convert the other "
            f"set, take {self.read} away (of a repo on the Hub, in a downloaded copy)",
        )


def compare_sets(
    files: RepoFiles,
    found: WeightFiles,
    tensors: Mapping[str, TensorInfo],
    others: Mapping[str, TensorInfo],
    config: Mapping[str, Any],
) -> str:
    """Return a note that two sets of weights agree as far as was looked; AmbiguousLayout where they do not."""
    series = f"{found.others[0]} to {found.others[-1]}" if len(found.others) > 1 else found.others[0]
    index = found.others_index
    sets = _Sets(files=files, read=found.shards[0], beside=f"{index} with {series}" if index else series)
    for name in sorted(tensors.keys() ^ others.keys()):
        if not reason(name, config):
            holder, other = (sets.read, sets.beside) if name in tensors else (sets.beside, sets.read)
            raise sets.refuse(f"{name!r} is in {holder} and not in {other}")
    common = [(tensors[name], others[name]) for name in sorted(tensors.keys() & others.keys())]
    for one, theirs in common:
        if (one.dtype, one.shape) != (theirs.dtype, theirs.shape):
            told = f"{one.dtype} {list(one.shape)} in the one, {theirs.dtype} {list(theirs.shape)} in the other"
            raise sets.refuse(f"{one.name!r} is {told}")
    samples = list(_samples(common))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        equal = list(pool.map(lambda pair: _is_equal(files, *pair), samples))
    for (one, _), same in zip(samples, equal, strict=True):
        if not same:
            raise sets.refuse(f"{one.name!r} holds other numbers")
    return (
        f"two sets of weights are here, {sets.read} and {sets.beside}: the same {len(common)} tensors, and "
        f"samples of {len(samples)} are equal; {sets.read} is read, as transformers reads it"
    )


def _samples(common: Sequence[tuple[TensorInfo, TensorInfo]]) -> Iterator[tuple[TensorInfo, TensorInfo]]:
    """Yield tensors of every kind: what is fine-tuned may be one projection of the experts, or of attention."""
    kinds: dict[str, list[tuple[TensorInfo, TensorInfo]]] = defaultdict(list)
    for pair in common:
        kinds[re.sub(r"\d+", "#", pair[0].name)].append(pair)
    a_kind = max(1, min(SAMPLES_A_KIND, MAX_SAMPLES // max(1, len(kinds))))
    for pairs in list(kinds.values())[:MAX_SAMPLES]:
        yield pairs[len(pairs) // 2]
        if a_kind > 1 and len(pairs) > 1:
            yield pairs[-1]


def _is_equal(files: RepoFiles, one: TensorInfo, other: TensorInfo) -> bool:
    """Say whether the middle of two tensors of one size holds the same bytes."""
    start = max(0, (one.nbytes - SAMPLE_BYTES) // 2)
    stop = min(one.nbytes, start + SAMPLE_BYTES)
    mine, theirs = (files.read(info.shard, info.start + start, info.start + stop) for info in (one, other))
    return mine == theirs
