"""What relayout makes of packed experts: decoded to bfloat16, or their fp8 codes and block scales moved together.

It says which tensors there are and where their pieces lie; it decodes and moves nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hubbot.catalogue.experts.expert_layouts import read_name
from hubbot.catalogue.experts.relayout_forms import Place, has_hub_names
from hubbot.catalogue.experts.relayout_moves import Output, Piece, Rearrangement, rearrangement
from hubbot.catalogue.experts.transformers_names import naming_of, renamed
from hubbot.catalogue.packings import Unpacked, fp8, quantization, unpacked
from hubbot.checkpoints import Checkpoint
from hubbot.errors import UnknownPacking
from hubbot.moves import Packed

UNPACKED_DTYPE = "BF16"
SCALE = "_scale_inv"
# Rows and columns of a block that has one scale.
Size = tuple[int, int]
_DECODE = "--unpack bf16 decodes them to plain weights of any form"


def packed_rearrangement(checkpoint: Checkpoint, to: str, *, unpack: bool) -> Rearrangement:
    """Return the checkpoint's tensors in the form of row `to`, packed ones decoded with `unpack`, else moved.

    A checkpoint that is not packed is rearranged as it is. Raises as `rearrangement` does, IncompleteCover where
    codes have no scales, and UnknownPacking where codes and scales have no place in that form.
    """
    stored = unpacked(checkpoint)
    if not stored.packed:
        return rearrangement(checkpoint, to)
    if unpack:
        decoded = {name: replace(stored.checkpoint.tensors[name], dtype=UNPACKED_DTYPE) for name in stored.packed}
        logical = replace(stored.checkpoint, tensors={**stored.checkpoint.tensors, **decoded})
        return replace(rearrangement(logical, to), packed=stored.packed, tensors=logical.tensors)
    sizes = _block_sizes(checkpoint, stored)
    codes = {name: checkpoint.tensors[_part(stored.packed[name], "weight")] for name in stored.packed}
    moved = rearrangement(replace(checkpoint, tensors={**stored.checkpoint.tensors, **codes}), to)
    outputs = (*moved.outputs, *_scales(moved, checkpoint, stored.packed, sizes), *_left(checkpoint, stored, to))
    return replace(moved, outputs=outputs, tensors=checkpoint.tensors)


def _part(packed: Packed, role: str) -> str:
    return packed.parts[role].tensor


def _block_sizes(checkpoint: Checkpoint, stored: Unpacked) -> dict[str, Size]:
    """Return the rows and columns that share a scale in each packed tensor of experts, by its name.

    Raises UnknownPacking for any packing but fp8 in blocks, whose scales other forms have a place for.
    """
    said = quantization(checkpoint.config).get("weight_block_size")
    whole = (said[0], said[1]) if isinstance(said, list) and len(said) == 2 else None
    sizes: dict[str, Size] = {}
    for name, packed in stored.packed.items():
        if read_name(name) is None:
            continue  # beside the experts codes and scales stay as they are
        # Of a matrix smaller than a block all has one scale.
        size = (packed.rows, packed.columns) if packed.rows and packed.columns else whole
        scale = checkpoint.tensors[_part(packed, "scale")] if "scale" in packed.parts else None
        if (
            packed.packing != fp8.KEY
            or size is None
            or min(size) < 2
            or scale is None
            or not scale.name.endswith(SCALE)
            or len(scale.shape) != len(packed.shape)
        ):
            raise UnknownPacking(
                f"the experts are packed: {packed.packing}, and other forms have no place for their scales",
                where=name,
                hint=_DECODE,
            )
        sizes[name] = size
    return sizes


def _scales(
    moved: Rearrangement, checkpoint: Checkpoint, packed: Mapping[str, Packed], sizes: Mapping[str, Size]
) -> Iterator[Output]:
    """Yield the scales of every tensor of experts, in its form, as many rows and columns as it has blocks."""
    for output in moved.outputs:
        first = packed.get(output.source)
        if not output.pieces or first is None:
            continue
        height, width = sizes[first.name]
        pieces = tuple(
            _scale_piece(piece, packed[piece.source.tensor], sizes[piece.source.tensor]) for piece in output.pieces
        )
        if output.pieces[0].target.transposed:
            height, width = width, height
        *lead, rows, columns = output.shape
        info = checkpoint.tensors[_part(first, "scale")]
        yield Output(
            name=f"{output.name}{SCALE}",
            dtype=info.dtype,
            shape=(*lead, -(-rows // height), -(-columns // width)),
            source=info.name,
            pieces=pieces,
        )


def _scale_piece(piece: Piece, packed: Packed, size: Size) -> Piece:
    height, width = size
    return Piece(
        source=_blocks(replace(piece.source, tensor=_part(packed, "scale")), height, packed.name),
        target=_blocks(replace(piece.target, tensor=f"{piece.target.tensor}{SCALE}"), height, packed.name),
        shape=(-(-piece.shape[0] // height), -(-piece.shape[1] // width)),
    )


def _blocks(place: Place, height: int, name: str) -> Place:
    """Return the place in blocks of `height` rows; raises UnknownPacking where a block would be cut."""
    start, stop, step = place.rows
    ends_inside = stop % height and start
    if step != 1 or start % height or ends_inside:
        raise UnknownPacking(
            f"gate and up would share blocks of {height} rows that have one scale", where=name, hint=_DECODE
        )
    return replace(place, rows=(start // height, -(-stop // height), 1))


def _left(checkpoint: Checkpoint, stored: Unpacked, to: str) -> Sequence[Output]:
    """Return the tensors that the logical checkpoint does not show: scales beside the experts, as they are."""
    experts = {
        part.tensor for name, packed in stored.packed.items() if read_name(name) for part in packed.parts.values()
    }
    naming = naming_of(checkpoint.model_type)
    on_hub = has_hub_names(to, naming)
    return [
        Output(
            name=renamed(naming, name, on_hub=on_hub), dtype=info.dtype, shape=info.shape, source=name, pieces=()
        )
        for name, info in checkpoint.tensors.items()
        if name not in stored.checkpoint.tensors and name not in experts
    ]
