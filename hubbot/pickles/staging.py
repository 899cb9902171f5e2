"""Write pickled weights as safetensors, file by file, and compare every tensor with what was written.

Storage that tensors share is written once for each of them, as safetensors demands. It renames no tensor and
deletes no pickle.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hubbot.checkpoints import Checkpoint, TensorInfo, stored_bytes
from hubbot.engine.byte_ranges import ByteRanges
from hubbot.engine.journal import Journal
from hubbot.engine.writer import Stored, WeightWriter
from hubbot.errors import CorruptHeader, ValueMismatch
from hubbot.files.atomic_folders import check_room
from hubbot.finishing import INDEX, write_json
from hubbot.headers import LENGTH_BYTES, header_length, parse_header
from hubbot.marks import fingerprint
from hubbot.pickles.door import PickledTensor, load
from hubbot.progress import Progress

Load = Callable[[Path], Mapping[str, PickledTensor]]
BLOCK_BYTES = 16 << 20


def stage(
    source: Path, names: Sequence[str], folder: Path, *, shard_bytes: int, progress: Progress, load: Load = load
) -> dict[str, TensorInfo]:
    """Write the tensors of `source`/`names` into `folder` as safetensors with an index, and return them.

    Raises what `door.load` raises, CorruptHeader for a tensor in two files, and ValueMismatch where a tensor
    read back is not bit for bit what torch holds.
    """
    stored = _stored(source, names, load)
    total = 2 * sum(stored_bytes(dtype, shape) for _, dtype, shape in stored)
    done = 0

    def tell(tensor: PickledTensor) -> None:
        nonlocal done
        done += tensor.nbytes
        progress(done, total, tensor.name)

    journal = Journal(folder, _identity(source, names, shard_bytes))
    with WeightWriter(folder, stored, shard_bytes=shard_bytes, journal=journal, form="pt") as writer:
        for name in names:
            for tensor in load(source / name).values():
                _write(writer, tensor)
                tell(tensor)
    write_json(folder / INDEX, writer.index())
    found = staged(folder)
    with ByteRanges(folder) as ranges:
        for name in names:
            for tensor in load(source / name).values():
                _compare(ranges, found.get(tensor.name), tensor)
                tell(tensor)
    journal.close()
    return found


def unpickled(
    checkpoint: Checkpoint, *, source: Path, folder: Path, shard_bytes: int, progress: Progress
) -> Checkpoint:
    """Return `checkpoint` with its pickled weights, read from `source`, as safetensors in `folder`.

    Raises as `stage` does, and OutOfRoom before anything is written where the disk is short.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / ".staging"
    check_room(folder, checkpoint.weight_bytes - _size(aside), purpose="the weights as safetensors")
    tensors = stage(source, checkpoint.shards, aside, shard_bytes=shard_bytes, progress=progress)
    for path in aside.iterdir():
        path.replace(folder / path.name)
    aside.rmdir()
    return replace(checkpoint, tensors=tensors)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def staged(folder: Path) -> dict[str, TensorInfo]:
    """Return the tensors of the safetensors files in `folder`."""
    found: dict[str, TensorInfo] = {}
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        with path.open("rb") as file:
            length = header_length(file.read(LENGTH_BYTES), file_size=size, shard=path.name)
            found |= parse_header(file.read(length), file_size=size, shard=path.name)
    return found


def _stored(source: Path, names: Sequence[str], load: Load) -> list[Stored]:
    place: dict[str, str] = {}
    stored: list[Stored] = []
    for name in names:
        for tensor in load(source / name).values():
            if tensor.name in place:
                raise CorruptHeader(
                    f"tensor {tensor.name!r} stands in two files, {place[tensor.name]} and {name}",
                    hint="nobody can say which of the two is meant",
                )
            place[tensor.name] = name
            stored.append((tensor.name, tensor.dtype, tensor.shape))
    return stored


def _write(writer: WeightWriter, tensor: PickledTensor) -> None:
    offset = 0
    if writer.wants(tensor.name):
        for block in tensor.blocks(BLOCK_BYTES):
            writer.write_at(tensor.name, offset, block)
            offset += len(block)


def _compare(ranges: ByteRanges, found: TensorInfo | None, tensor: PickledTensor) -> None:
    """Raise ValueMismatch unless the tensor on disk is the one that torch holds, bit for bit."""
    if found is None or (found.dtype, found.shape) != (tensor.dtype, tensor.shape):
        raise ValueMismatch(f"{tensor.name!r} is not in the staged files as {tensor.dtype} {list(tensor.shape)}")
    offset = 0
    for block in tensor.blocks(BLOCK_BYTES):
        read = np.empty(len(block), np.uint8)
        ranges.read_into(read, found, offset)
        if read.data != block:
            raise ValueMismatch(
                f"{tensor.name!r} reads back otherwise than torch holds it",
                where=found.shard,
                hint="stage it again",
            )
        offset += len(block)


def _identity(source: Path, names: Sequence[str], shard_bytes: int) -> str:
    stats = [(name, (source / name).stat().st_size, (source / name).stat().st_mtime_ns) for name in names]
    return fingerprint({"files": stats, "shard": shard_bytes})
