"""Rewrite a checkpoint with its experts in another form, streaming, bit for bit, everything else as it is.

It writes to a hidden folder, fsyncs and renames: an error leaves nothing behind, and after a kill it goes on where
it stopped. It computes nothing but what packed weights stand for where that is asked for, takes out of config.json
only what is true no more, and never copies a file that can run.
"""

import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from hubbot import __version__, plain_json
from hubbot.catalogue.configs.nesting import TEXT
from hubbot.catalogue.experts.expert_layouts import target_words
from hubbot.catalogue.experts.relayout_moves import Output, Rearrangement
from hubbot.checkpoints import Checkpoint, FileInfo, TensorInfo, stored_bytes
from hubbot.engine.journal import Journal
from hubbot.engine.matrix_copy import Band, bands
from hubbot.engine.reader import Shards, Sources
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
from hubbot.finishing import CONFIG, INDEX, is_side_file, write_json
from hubbot.folders import file_info
from hubbot.marks import FORMAT, MARK, fingerprint, read_mark, same_origin, source_of
from hubbot.progress import Progress
from hubbot.sources.licences import licence_files

# Where a checkpoint says how its weights are packed.
PACKING_KEYS = ("quantization_config", "quantization", "compression_config")
PACKING_FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")
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
    identity = fingerprint({"source": asdict(checkpoint.repo), "to": _variants(made)[0], "shard": shard_bytes})
    journal = Journal(partial_folder(out), identity)
    try:
        nbytes = sum(map(_nbytes, made.outputs))
        check_room(out.parent, nbytes - journal.nbytes, purpose="the new form")
        _stream(checkpoint, made, journal, source, working_bytes, shard_bytes, progress)
        for file in _taken(checkpoint, made):
            (journal.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, journal.folder / file.path)
        _edit_config(journal.folder / CONFIG, made)
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


def left_out(checkpoint: Checkpoint, made: Rearrangement) -> tuple[str, ...]:
    """Return the files beside the weights that are not taken over, code among them, sorted by name."""
    taken = {file.path for file in _taken(checkpoint, made)}
    paths = (file.path for file in checkpoint.files)
    return tuple(sorted(path for path in paths if path not in taken and not _is_weights(path, checkpoint)))


def relaid(checkpoint: Checkpoint, made: Rearrangement) -> Checkpoint:
    """Return the checkpoint as `inspect` will find it once it is rewritten; its tensors lie in no shard yet."""
    tensors = {
        output.name: TensorInfo(name=output.name, dtype=output.dtype, shape=output.shape, shard="", start=0, end=0)
        for output in made.outputs
    }
    config = _without(checkpoint.config, PACKING_KEYS) if made.packed else checkpoint.config
    return replace(checkpoint, tensors=tensors, config=config)


def _is_weights(path: str, checkpoint: Checkpoint) -> bool:
    return path in checkpoint.shards or path.endswith(".index.json") or path in (MARK, ".gitattributes")


def _taken(checkpoint: Checkpoint, made: Rearrangement) -> Iterator[FileInfo]:
    for file in side_files(checkpoint):
        # Of weights that are decoded no file may say any more how they are packed.
        if not (made.packed and file.path in PACKING_FILES):
            yield file


def _edit_config(path: Path, made: Rearrangement) -> None:
    """Take out of config.json what is true no more; where all is true it stays the source's bytes."""
    config = plain_json.loads(path.read_bytes())
    kept = _without(config, PACKING_KEYS) if made.packed else dict(config)
    # The code that it names is never taken over: a loader would look for it in vain.
    kept.pop("auto_map", None)
    if kept != config:
        write_json(path, kept)


def _without(config: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {
        key: _without(value, keys) if key == TEXT and isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in keys
    }


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
        Shards(source, Sources(tensors=checkpoint.tensors, packed=made.packed)) as ranges,
        WeightWriter(journal.folder, stored, shard_bytes=shard_bytes, journal=journal, form="pt") as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        wanted = [output for output in made.outputs if writer.wants(output.name)]
        total, done = sum(map(_nbytes, wanted)), 0
        writing: Future[None] | None = None
        for band in _bands(wanted, made, ranges, working_bytes):
            if writing is not None:
                writing.result()
            writing = pool.submit(writer.write_at, band.output, band.offset, band.data)
            done += len(band.data)
            progress(done, total, band.output)
        if writing is not None:
            writing.result()
    write_json(journal.folder / INDEX, writer.index())


def _bands(outputs: list[Output], made: Rearrangement, ranges: Shards, working_bytes: int) -> Iterator[Band]:
    for output in outputs:
        yield from bands(output, made.tensors, ranges, working_bytes)


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
    decoded = " unpacked" if made.packed else ""
    return tuple(f"relayout {word}{decoded}" for word in target_words(made.to))


def _mark(checkpoint: Checkpoint, made: Rearrangement, files: tuple[FileInfo, ...]) -> dict[str, object]:
    return {
        "made_by": "hubbot",
        "format": FORMAT,
        "source": source_of(checkpoint.repo),
        "variant": _variants(made)[0],
        "form": asdict(made.form),
        "versions": {"hubbot": __version__},
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files],
    }


def _is_ours(checkpoint: Checkpoint, made: Rearrangement, source: Path, folder: Path) -> bool:
    mark = read_mark(folder)
    same = mark is not None and any(same_origin(mark, checkpoint.repo, variant) for variant in _variants(made))
    return same and not folder.samefile(source)
