"""Whether an output layer that the config ties to the embedding holds the same numbers, where both are stored.

It compares stored bytes, a block at a time; it knows names only from the plan.
"""

from collections.abc import Iterator
from pathlib import Path

from hubbot.catalogue.tensors import TIED
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import ConfigUnresolved
from hubbot.plans import Plan

BLOCK = 16 << 20


def check_tied(checkpoint: Checkpoint, plan: Plan, source: Path) -> None:
    """Raise ConfigUnresolved where a dropped output layer holds other numbers than the embedding.

    transformers 5.23 ties the two only where they are equal (modeling_utils, tie_weights). Sources whose shards
    are not both in `source` are passed over.
    """
    heads = [drop.name for drop in plan.drops if drop.reason == TIED]
    embeddings = [move.sources[0] for move in plan.moves if move.role == "embedding"]
    for head, embedding in zip(heads, embeddings[:1], strict=False):
        one, other = checkpoint.tensors[head], checkpoint.tensors.get(embedding)
        if other is None or not all((source / info.shard).is_file() for info in (one, other)):
            continue
        if (one.dtype, one.shape) != (other.dtype, other.shape) or any(
            mine != theirs for mine, theirs in zip(_blocks(source, one), _blocks(source, other), strict=True)
        ):
            raise ConfigUnresolved(
                f"the config says tie_word_embeddings = True, but {head!r} holds other numbers than {embedding!r}",
                where=head,
                hint="transformers would not tie them; set tie_word_embeddings to what the model was trained with",
            )


def _blocks(folder: Path, info: TensorInfo) -> Iterator[bytes]:
    with (folder / info.shard).open("rb") as file:
        file.seek(info.start)
        for start in range(info.start, info.end, BLOCK):
            yield file.read(min(BLOCK, info.end - start))
