"""Rewrite a checkpoint with its experts in another form, streaming, bit for bit, everything else as it is.

It writes to a hidden folder, fsyncs and renames: an error leaves nothing behind, and after a kill it goes on where
it stopped. It computes nothing, touches no config, and never copies a file that can run.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from hubbot import __version__
from hubbot.catalogue.experts.expert_layouts import target_words
from hubbot.catalogue.experts.relayout_moves import Output, Rearrangement
from hubbot.checkpoints import Checkpoint, FileInfo, stored_bytes
from hubbot.engine.byte_ranges import ByteRanges
from hubbot.engine.journal import Journal
from hubbot.engine.matrix_copy import Band, bands
from hubbot.engine.writer import WeightWriter
from hubbot.errors import HubbotError
from hubbot.files.atomic_folders import (
    check_room,
    explain,
    make_folder,
    partial_folder,
    refuse_foreign,
    replace_folder,
)
from hubbot.finishing import INDEX, is_side_file, write_json
from hubbot.folders import file_info
from hubbot.marks import FORMAT, MARK, fingerprint, read_mark, same_origin, source_of
from hubbot.progress import Progress
from hubbot.sources.licences import licence_files

SIDE_ENDINGS = (".json", ".jinja", ".txt", ".md", ".model", ".tiktoken")


def relayout(
    checkpoint: Checkpoint,
    made: Rearrangement,
    *,
    source: Path,
    out: Path,
    working_bytes: int,
    shard_bytes: int,
    progress: Progress,
) -> tuple[FileInfo, ...]:
    """Write the checkpoint of folder `source` to `out` as `made` says; return the files with their sha256.

    Raises WrongUsage where a folder in the way is not hubbot's own for this source and form, OutOfRoom on a
    full disk, CorruptHeader where a shard ends early.
    """
    refuse_foreign(
        out,
        partial(_is_ours, checkpoint, made, source),
        f"the folder exists and its {MARK} does not mark the same source in the same form",
    )
    make_folder(out.parent)
    identity = fingerprint({"source": asdict(checkpoint.repo), "to": made.to, "shard": shard_bytes})
    journal = Journal(partial_folder(out), identity)
    try:
        nbytes = sum(map(_nbytes, made.outputs))
        check_room(out.parent, nbytes - journal.nbytes, purpose="the new form")
        _stream(checkpoint, made, journal, source, working_bytes, shard_bytes, progress)
        for file in side_files(checkpoint):
            (journal.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, journal.folder / file.path)
        files = _digests(journal)
        write_json(journal.folder / MARK, _mark(checkpoint, made, files))
        journal.close()
        replace_folder(journal.folder, out)
    except HubbotError:
        shutil.rmtree(journal.folder, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(journal.folder, ignore_errors=True)
        raise explain(error, out) from error
    return files


def side_files(checkpoint: Checkpoint) -> tuple[FileInfo, ...]:
    """Return the files beside the weights that are taken over byte for byte, config.json among them."""
    licences = licence_files(checkpoint.repo.id, checkpoint.card, checkpoint.files)
    return tuple(
        file
        for file in checkpoint.files
        if (
            ("/" not in file.path and file.path.endswith(SIDE_ENDINGS))
            or is_side_file(file.path)
            or file in licences
        )
        and not file.path.endswith(".index.json")
        and file.path != MARK
    )


def _stream(
    checkpoint: Checkpoint,
    made: Rearrangement,
    journal: Journal,
    source: Path,
    working_bytes: int,
    shard_bytes: int,
    progress: Progress,
) -> None:
    stored = [(output.name, output.dtype, output.shape) for output in made.outputs]
    with (
        ByteRanges(source) as ranges,
        WeightWriter(journal.folder, stored, shard_bytes=shard_bytes, journal=journal, form="pt") as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        wanted = [output for output in made.outputs if writer.wants(output.name)]
        total, done = sum(map(_nbytes, wanted)), 0
        writing: Future[None] | None = None
        for band in _bands(wanted, checkpoint, ranges, working_bytes):
            if writing is not None:
                writing.result()
            writing = pool.submit(writer.write_at, band.output, band.offset, band.data)
            done += len(band.data)
            progress(done, total, band.output)
        if writing is not None:
            writing.result()
    write_json(journal.folder / INDEX, writer.index())


def _bands(
    outputs: list[Output], checkpoint: Checkpoint, ranges: ByteRanges, working_bytes: int
) -> Iterator[Band]:
    for output in outputs:
        yield from bands(output, checkpoint.tensors, ranges, working_bytes)


def _nbytes(output: Output) -> int:
    return stored_bytes(output.dtype, output.shape)


def _digests(journal: Journal) -> tuple[FileInfo, ...]:
    found = journal.folder.rglob("*")
    paths = sorted(path.relative_to(journal.folder).as_posix() for path in found if path.is_file())
    return tuple(
        journal.files.get(path) or file_info(journal.folder / path, path) for path in paths if path[0] != "."
    )


def _variants(made: Rearrangement) -> tuple[str, ...]:
    """Return what a mark calls the rewritten form, the present word first, then what earlier versions wrote."""
    return tuple(f"relayout {word}" for word in target_words(made.to))


def _mark(checkpoint: Checkpoint, made: Rearrangement, files: tuple[FileInfo, ...]) -> dict[str, object]:
    return {
        "made_by": "hubbot",
        "format": FORMAT,
        "source": source_of(checkpoint.repo),
        "variant": _variants(made)[0],
        "form": asdict(made.form),
        "versions": {"hubbot": __version__},
        "files": [asdict(file) for file in files],
    }


def _is_ours(checkpoint: Checkpoint, made: Rearrangement, source: Path, folder: Path) -> bool:
    mark = read_mark(folder)
    same = mark is not None and any(same_origin(mark, checkpoint.repo, variant) for variant in _variants(made))
    return same and not folder.samefile(source)
