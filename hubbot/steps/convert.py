"""Stream a checkpoint through its plan: one read of the source, every variant written, a few slices in memory.

Files are made aside, fsynced and renamed. What is complete aside survives a kill and is not made again; what
fails leaves nothing behind. It proves nothing about the result: that is the referee's work.
"""

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hubbot.artifacts import Artifact
from hubbot.checkpoints import Checkpoint
from hubbot.device import conveyor
from hubbot.device.journal import Journal
from hubbot.device.reader import Shards, Sources
from hubbot.device.slices import Slice, slices_of
from hubbot.device.writer import Stored, WeightWriter
from hubbot.errors import CorruptHeader, HubbotError, OutOfRoom, WrongUsage
from hubbot.finishing import INDEX, finish, write_json
from hubbot.marks import MARK, fingerprint, read_mark, same_origin
from hubbot.moves import Move
from hubbot.plans import Plan, PlannedVariant
from hubbot.progress import Progress
from hubbot.sizes import readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may be in memory and in one file: bytes that slices may take together, bytes per output shard."""

    working_bytes: int
    shard_bytes: int


def convert(
    checkpoint: Checkpoint, plan: Plan, *, source: Path, out: Path, bounds: Bounds, progress: Progress
) -> tuple[Artifact, ...]:
    """Write DIR/<variant>/ for every variant of `plan` and return the artifacts.

    Raises WrongUsage where a folder in the way is not hubbot's own for this source and recipe, OutOfRoom on a
    full disk, ValueMismatch for NaN or infinity in the source or an overflow of fp16.
    """
    for variant in plan.variants:
        _refuse_foreign(out / variant.name, plan, variant)
    _make(out)
    journals: list[Journal] = []
    try:
        shards = _stamps(checkpoint, source)
        journals += [
            Journal(_aside(out, variant), _identity(plan, variant, bounds, shards)) for variant in plan.variants
        ]
        _check_room(out, plan.disk_bytes - sum(journal.nbytes for journal in journals))
        _stream(checkpoint, plan, journals, source=source, bounds=bounds, progress=progress)
        artifacts = [
            finish(checkpoint, plan, variant, source=source, folder=journal.folder, known=journal.files)
            for variant, journal in zip(plan.variants, journals, strict=True)
        ]
        for journal in journals:
            journal.close()
        return tuple(_move_into_place(artifact, out) for artifact in artifacts)
    except HubbotError:
        _clear(journals)
        raise
    except OSError as error:
        _clear(journals)
        raise _explained(error, out) from error


def _stream(
    checkpoint: Checkpoint,
    plan: Plan,
    journals: list[Journal],
    *,
    source: Path,
    bounds: Bounds,
    progress: Progress,
) -> None:
    done = 0

    def tell(part: Slice) -> None:
        nonlocal done
        done += part.nbytes
        progress(done, total, part.move.output)

    sources = Sources(tensors=checkpoint.tensors, packed={packed.name: packed for packed in plan.packed})
    with ExitStack() as stack:
        shards = stack.enter_context(Shards(source, sources))
        variants = [
            conveyor.Lane(
                writer=stack.enter_context(_writer(plan, variant, journal, bounds.shard_bytes)),
                encodings=variant.encodings,
            )
            for variant, journal in zip(plan.variants, journals, strict=True)
        ]
        limit = conveyor.slice_limit(
            bounds.working_bytes, source_bytes=checkpoint.weight_bytes, output_bytes=plan.disk_bytes
        )
        slices = [
            part
            for move in plan.moves
            if any(_is_wanted(variant, move) for variant in variants)
            for part in _slices(move, sources, limit, variants)
        ]
        total = sum(part.nbytes for part in slices)
        conveyor.run(slices, conveyor.Belt(shards=shards, sources=sources, variants=variants), tell)
    for variant, journal in zip(variants, journals, strict=True):
        write_json(journal.folder / INDEX, variant.writer.index())


def _slices(move: Move, sources: Sources, limit: int, variants: Sequence[conveyor.Lane]) -> Iterator[Slice]:
    nbytes = sum(sources.nbytes(name) for name in move.sources)
    # One scale for a whole expert needs the whole expert.
    whole = any(variant.encodings[move.output].global_scale for variant in variants)
    return slices_of(move, sources.shape(move.sources[0]), nbytes, limit, whole_units=whole)


def _is_wanted(variant: conveyor.Lane, move: Move) -> bool:
    parts = variant.encodings[move.output].parts(move.output, move.shape)
    return any(variant.writer.wants(name) for name, _, _ in parts)


def _writer(plan: Plan, variant: PlannedVariant, journal: Journal, shard_bytes: int) -> WeightWriter:
    stored: list[Stored] = [
        part for move in plan.moves for part in variant.encodings[move.output].parts(move.output, move.shape)
    ]
    return WeightWriter(journal.folder, stored, shard_bytes=shard_bytes, journal=journal)


def _identity(plan: Plan, variant: PlannedVariant, bounds: Bounds, shards: list[tuple[str, int, int]]) -> str:
    """Return what must be unchanged for files left by an interrupted conversion to be used again."""
    planned = {**plan.to_json(), "variants": [variant.to_json()]}
    return fingerprint({"plan": planned, "shard": bounds.shard_bytes, "source": shards})


def _stamps(checkpoint: Checkpoint, source: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of every shard: weights may change under the same headers."""
    paths = [(shard, source / shard) for shard in checkpoint.shards]
    return [(shard, path.stat().st_size, path.stat().st_mtime_ns) for shard, path in paths if path.exists()]


def _aside(out: Path, variant: PlannedVariant) -> Path:
    return out / f".{variant.name}.partial"


def _clear(journals: list[Journal]) -> None:
    for journal in journals:
        shutil.rmtree(journal.folder, ignore_errors=True)


def _refuse_foreign(folder: Path, plan: Plan, variant: PlannedVariant) -> None:
    if not folder.exists():
        return
    mark = read_mark(folder)
    same = mark is not None and same_origin(mark, plan.source, variant.name)
    if mark is None or not same or mark.get("recipe") != variant.recipe:
        raise WrongUsage(
            f"the folder exists and its {MARK} does not mark the same source and recipe",
            where=str(folder),
            hint="choose another --out, or move the folder away",
        )


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WrongUsage("the place for the variants is a file, not a folder", where=str(out)) from error


def _check_room(out: Path, wanted: int) -> None:
    free = shutil.disk_usage(out).free
    if free < wanted:
        raise OutOfRoom(
            f"the variants need {readable(wanted)}, the disk has {readable(free)} free",
            where=str(out),
            hint="free some space or ask for fewer variants",
        )


def _move_into_place(artifact: Artifact, out: Path) -> Artifact:
    final = out / artifact.variant
    shutil.rmtree(final, ignore_errors=True)
    Path(artifact.path).replace(final)
    return Artifact.from_json({**artifact.to_json(), "path": str(final)})


def _explained(error: OSError, out: Path) -> HubbotError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return OutOfRoom("the disk is full", where=str(out), hint="free some space; nothing was left half-written")
    if isinstance(error, FileNotFoundError):
        return CorruptHeader("a file of the source is gone", where=str(error.filename))
    return HubbotError(f"a file could not be read or written: {error}", where=str(out))
