"""Whether an output layer that the config ties to the embedding holds the same numbers, where both are stored.

It compares stored bytes, a block at a time; it knows names only from the plan.
"""

from collections.abc import Iterator
from pathlib import Path

from hubbot.catalogue.tensors import TIED
from hubbot.checkpoints import Checkpoint, RepoFiles, TensorInfo
from hubbot.errors import ConfigUnresolved
from hubbot.plans import Plan

BLOCK = 16 << 20
SAMPLE_BYTES = 4096


def check_tied(checkpoint: Checkpoint, plan: Plan, source: Path) -> None:
    """Raise ConfigUnresolved where a dropped output layer holds other numbers than the embedding.

    transformers 5.23 ties the two only where they are equal (modeling_utils, tie_weights). Sources whose shards
    are not both in `source` are passed over.
    """
    for one, other in _tied(checkpoint, plan):
        if not all((source / info.shard).is_file() for info in (one, other)):
            continue
        if (one.dtype, one.shape) != (other.dtype, other.shape) or any(
            mine != theirs for mine, theirs in zip(_blocks(source, one), _blocks(source, other), strict=True)
        ):
            raise _refusal(one, other)


def check_tied_samples(checkpoint: Checkpoint, plan: Plan, files: RepoFiles) -> None:
    """Raise as `check_tied` does where dtype, shape or a sample of the two differ: two small reads.

    Pickled weights are passed over: where their bytes stand is not known before they are staged.
    """
    for one, other in _tied(checkpoint, plan):
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            raise _refusal(one, other)
        if not one.shard.endswith(".safetensors"):
            continue
        middle = max(0, (one.nbytes - SAMPLE_BYTES) // 2)
        stop = min(one.nbytes, middle + SAMPLE_BYTES)
        mine, theirs = (files.read(info.shard, info.start + middle, info.start + stop) for info in (one, other))
        if mine != theirs:
            raise _refusal(one, other)


def _tied(checkpoint: Checkpoint, plan: Plan) -> Iterator[tuple[TensorInfo, TensorInfo]]:
    """Yield the output layer that is left out as tied, with the embedding that stands for it."""
    heads = [drop.name for drop in plan.drops if drop.reason == TIED]
    embeddings = [move.sources[0] for move in plan.moves if move.role == "embedding"]
    for head, embedding in zip(heads, embeddings[:1], strict=False):
        other = checkpoint.tensors.get(embedding)
        if other is not None:
            yield checkpoint.tensors[head], other


def _refusal(head: TensorInfo, embedding: TensorInfo) -> ConfigUnresolved:
    differ = f"{head.name!r} holds other numbers than {embedding.name!r}"
    return ConfigUnresolved(
        f"the config says tie_word_embeddings = True, but {differ}",
        where=head.name,
        hint="transformers would not tie them; set tie_word_embeddings to what the model was trained with",
    )


def _blocks(folder: Path, info: TensorInfo) -> Iterator[bytes]:
    with (folder / info.shard).open("rb") as file:
        file.seek(info.start)
        for start in range(info.start, info.end, BLOCK):
            yield file.read(min(BLOCK, info.end - start))
