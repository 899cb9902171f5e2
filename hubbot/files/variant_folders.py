"""The folders that a conversion writes: whose may be replaced, is there room, made aside and moved into place."""

import errno
import shutil
from pathlib import Path

from hubbot.artifacts import Artifact
from hubbot.engine.memory import physical_bytes
from hubbot.errors import CorruptHeader, HubbotError, OutOfRoom, WrongUsage
from hubbot.files.sizes import readable
from hubbot.marks import MARK, read_mark, same_origin
from hubbot.plans import Plan, PlannedVariant


def aside(out: Path, variant: str) -> Path:
    """Return the folder in which a variant is made before it is moved to `out`/`variant`."""
    return out / f".{variant}.partial"


def prepare(out: Path, plan: Plan) -> None:
    """Make `out`; WrongUsage where it, or a variant's folder that is not hubbot's own for this, is in the way."""
    for variant in plan.variants:
        _refuse_foreign(out / variant.name, plan, variant)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WrongUsage("the place for the variants is a file, not a folder", where=str(out)) from error


def check_room(out: Path, wanted: int) -> None:
    """Raise OutOfRoom, with the numbers, where `wanted` more bytes do not fit."""
    free = shutil.disk_usage(out).free
    if free < wanted:
        raise OutOfRoom(
            f"the conversion needs {readable(wanted)} more on disk, {readable(free)} are free",
            where=str(out),
            hint="free some space, ask for fewer variants, or use --free-source with a repo of the Hub",
        )


def check_memory(plan: Plan) -> None:
    """Raise OutOfRoom, with the numbers, where the plan's peak is more than the machine has."""
    there = physical_bytes()
    if there is not None and there < plan.memory_bytes:
        raise OutOfRoom(
            f"the conversion needs {readable(plan.memory_bytes)} of memory, this machine has {readable(there)}",
            where=plan.source.id,
            hint="a single expert that cannot be cut is that large; leave out nvfp4, or use another machine",
        )


def move_into_place(artifact: Artifact, out: Path) -> Artifact:
    """Replace `out`/variant by the finished folder and return the artifact there."""
    final = out / artifact.variant
    shutil.rmtree(final, ignore_errors=True)
    Path(artifact.path).replace(final)
    return Artifact.from_json({**artifact.to_json(), "path": str(final)})


def explained(error: OSError, out: Path) -> HubbotError:
    """Return what an error of the file system means for a conversion to `out`."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return OutOfRoom("the disk is full", where=str(out), hint="free some space; nothing was left half-written")
    if isinstance(error, FileNotFoundError):
        return CorruptHeader("a file of the source is gone", where=str(error.filename))
    return HubbotError(f"a file could not be read or written: {error}", where=str(out))


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
