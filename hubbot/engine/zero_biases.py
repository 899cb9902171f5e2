"""Whether biases that the plan leaves out because they add nothing hold nothing but zeros, negative ones included.

It reads stored bytes, a block at a time; it knows names only from the plan.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hubbot.catalogue.tensors import ZERO_BIAS
from hubbot.checkpoints import Checkpoint, RepoFiles, TensorInfo
from hubbot.engine.floats import RAW
from hubbot.errors import IncompleteCover
from hubbot.plans import Plan

BLOCK = 16 << 20
# Requests that a look at a repo may take for them; the conversion reads every one.
MOST_READ = 64


def check_zero_biases(checkpoint: Checkpoint, plan: Plan, source: Path) -> None:
    """Raise IncompleteCover naming the first bias in folder `source` that is left out and is not zero."""
    for info in zero_biases(checkpoint, plan):
        with (source / info.shard).open("rb") as file:
            file.seek(info.start)
            for start in range(0, info.nbytes, BLOCK):
                _check(info, file.read(min(BLOCK, info.nbytes - start)))


def check_zero_biases_of(checkpoint: Checkpoint, plan: Plan, files: RepoFiles) -> None:
    """Raise as `check_zero_biases` does, for the first 64 biases of a repo; pickled ones are passed over."""
    for number, info in enumerate(zero_biases(checkpoint, plan)):
        if number < MOST_READ and info.shard.endswith(".safetensors"):
            _check(info, files.read(info.shard, info.start, min(info.end, info.start + BLOCK)))


def zero_biases(checkpoint: Checkpoint, plan: Plan) -> Iterator[TensorInfo]:
    """Yield the biases that the plan leaves out because they are zero."""
    yield from (checkpoint.tensors[drop.name] for drop in plan.drops if drop.reason == ZERO_BIAS)


def _check(info: TensorInfo, data: bytes) -> None:
    bits = np.frombuffer(data, RAW[info.dtype])
    # All but the sign: minus zero adds nothing either.
    if (bits << bits.dtype.type(1)).any():
        raise IncompleteCover(
            f"source tensor {info.name!r} has no place in mlx-lm's model, and is not all zero",
            where=info.name,
            hint="a bias that adds something is never dropped; a catalogue row must say what it is",
        )
