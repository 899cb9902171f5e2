"""mxfp4: two e2m1 codes a byte, lower bits first, and one e8m0 scale for 32 of them.

As gpt-oss stores it, `_blocks` [..., rows, groups, 16] and `_scales` [..., rows, groups], and as plain bytes
[..., rows, columns / 2]. Sources: openai/gpt-oss-20b, OCP Microscaling (MX) specification 1.0, transformers 5.23
integrations/mxfp4.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings.rule import Found, Packing, misfit, needed
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.moves import Packed, Part

KEY = "mxfp4"
GROUP = 32
BLOCKS, SCALES = "_blocks", "_scales"
ROWS = (
    Packing(
        key=KEY,
        method="mxfp4",
        naming="`_blocks` of 16 bytes with two e2m1 codes each, `_scales` as e8m0",
        example="model.layers.0.mlp.experts.gate_up_proj_blocks",
        source="OCP MX specification 1.0; transformers 5.23 integrations/mxfp4.py",
    ),
)


def method(checkpoint: Checkpoint, _block: Mapping[str, Any]) -> Found:
    """Return the mxfp4 tensors of a checkpoint."""
    names = [name for name in checkpoint.tensors if name.endswith(BLOCKS)]
    return Found(packed=tuple(_blocked(checkpoint.tensors, name) for name in names), dropped={})


def pair(codes: TensorInfo, scales: TensorInfo, name: str, key: str) -> Packed:
    """Return the logical tensor `name` of bytes [..., rows, columns / 2] and one scale for 32 columns."""
    *lead, half = codes.shape
    fits = len(codes.shape) > 1 and scales.shape == (*lead, 2 * half // GROUP) and 2 * half % GROUP == 0
    if not fits or codes.dtype not in {"U8", "I8"} or scales.dtype not in {"U8", "F8_E8M0"}:
        raise misfit(codes, scales, told="mxfp4 has two codes a byte and an e8m0 scale for 32")
    return _packed(name, key, (*lead, 2 * half), codes, scales)


def _blocked(tensors: Mapping[str, TensorInfo], name: str) -> Packed:
    blocks, stem = tensors[name], name.removesuffix(BLOCKS)
    scales = needed(tensors, stem + SCALES, blocks)
    fits = len(blocks.shape) > 2 and blocks.shape[-1] == GROUP // 2 and scales.shape == blocks.shape[:-1]
    if not fits or blocks.dtype != "U8" or scales.dtype not in {"U8", "F8_E8M0"}:
        raise misfit(blocks, scales, told="mxfp4 has blocks of 16 bytes with one scale each")
    *lead, groups, _ = blocks.shape
    return _packed(stem, KEY, (*lead, groups * GROUP), blocks, scales)


def _packed(name: str, key: str, shape: tuple[int, ...], codes: TensorInfo, scales: TensorInfo) -> Packed:
    parts = {"codes": Part(tensor=codes.name, rows=1), "scale": Part(tensor=scales.name, rows=1)}
    return Packed(name=name, packing=key, shape=shape, parts=parts, rows=1, columns=GROUP, bits=4)
