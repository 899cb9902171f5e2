"""mxfp4 as gpt-oss stores it: `_blocks` [..., rows, groups, 16] of two e2m1 codes a byte, `_scales` as e8m0.

Sources: openai/gpt-oss-20b, OCP Microscaling (MX) specification 1.0, transformers 5.23 integrations/mxfp4.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings.rule import Found
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover
from hubbot.moves import Packed, Part

PACKING = "mxfp4"
GROUP = 32
BLOCKS, SCALES = "_blocks", "_scales"


def METHOD(checkpoint: Checkpoint, _block: Mapping[str, Any]) -> Found:  # noqa: N802  a row of METHODS
    """Return the mxfp4 tensors of a checkpoint."""
    names = [name for name in checkpoint.tensors if name.endswith(BLOCKS)]
    return Found(packed=tuple(_pair(checkpoint.tensors, name) for name in names), dropped={})


def _pair(tensors: Mapping[str, TensorInfo], name: str) -> Packed:
    blocks, stem = tensors[name], name.removesuffix(BLOCKS)
    scales = tensors.get(stem + SCALES)
    if scales is None:
        raise IncompleteCover(f"{name!r} has no {stem + SCALES!r}", where=blocks.shard)
    fits = len(blocks.shape) > 2 and blocks.shape[-1] == GROUP // 2 and scales.shape == blocks.shape[:-1]
    if not fits or blocks.dtype != "U8" or scales.dtype != "U8":
        raise IncompleteCover(
            f"{name!r} {list(blocks.shape)} {blocks.dtype} and {scales.name!r} {list(scales.shape)} "
            f"{scales.dtype} are not mxfp4 blocks of 16 bytes with one scale each",
            where=blocks.shard,
        )
    *lead, groups, _ = blocks.shape
    return Packed(
        name=stem,
        packing=PACKING,
        shape=(*lead, groups * GROUP),
        parts={"blocks": Part(tensor=name, rows=1), "scales": Part(tensor=scales.name, rows=1)},
        rows=1,
        columns=GROUP,
    )
