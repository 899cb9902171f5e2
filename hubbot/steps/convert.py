"""Stream a checkpoint through its plan: one read of the source, every variant written, a few slices in memory.

For each window of the plan: read its slices, compute them for every variant, write them to files in a hidden
folder, fsync, and record the files in a journal. At the end the folders are renamed. Finished files survive a kill
and are not made again; an error leaves nothing behind. Whether the result is right is the referee's work.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hubbot.artifacts import Artifact
from hubbot.checkpoints import Checkpoint
from hubbot.engine import streaming
from hubbot.engine.journal import Journal
from hubbot.engine.reader import Shards, Sources
from hubbot.engine.slices import Slice, slices_of
from hubbot.engine.tied_embeddings import check_tied
from hubbot.engine.writer import Stored, WeightWriter
from hubbot.errors import HubbotError
from hubbot.files.variant_folders import aside, check_room, explained, move_into_place, prepare
from hubbot.finishing import CONFIG, INDEX, check_tokenizer, config_of, finish, write_json
from hubbot.marks import fingerprint
from hubbot.moves import Move
from hubbot.plans import Plan, PlannedVariant
from hubbot.progress import Progress
from hubbot.windows import Window, windows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may be in memory and in one file: bytes that slices may take together, bytes per output shard.

    `is_numbered` is true for the tracer's runs: the weights are element numbers, so checks of their values (are
    two embeddings equal?) say nothing and are left out.
    """

    working_bytes: int
    shard_bytes: int
    is_numbered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePass:
    """One pass over a source: `source` is the folder with the weights, `out` where DIR/<variant>/ will be.

    Calls with the same `run` belong together: files that one of them made or hashed are not hashed again.
    """

    checkpoint: Checkpoint
    plan: Plan
    source: Path
    out: Path
    bounds: Bounds
    windows: tuple[Window, ...]
    run: str | None = None

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, plan: Plan, *, source: Path, out: Path, bounds: Bounds, run: str | None = None
    ) -> "SourcePass":
        """Return the pass with its windows, in the order in which they must be made."""
        check_tokenizer(source)  # before the work, not after it
        windows = windows_of(plan, checkpoint.tensors, bounds.shard_bytes)
        return cls(
            checkpoint=checkpoint, plan=plan, source=source, out=out, bounds=bounds, windows=windows, run=run
        )


def convert(
    checkpoint: Checkpoint, plan: Plan, *, source: Path, out: Path, bounds: Bounds, progress: Progress
) -> tuple[Artifact, ...]:
    """Write DIR/<variant>/ for every variant of `plan` and return the artifacts.

    Raises WrongUsage where a folder in the way is not hubbot's own for this source and recipe, OutOfRoom on a
    full disk, ConfigUnresolved where only the config ties an output layer, ValueMismatch for NaN or infinity in
    the source or an overflow of fp16.
    """
    conversion = SourcePass.of(checkpoint, plan, source=source, out=out, bounds=bounds)
    if not bounds.is_numbered:
        check_tied(checkpoint, plan, source)
    prepare(out, plan)
    with _journals(conversion) as journals:
        check_room(out, plan.disk_bytes - sum(journal.nbytes for journal in journals))
        _make(conversion, conversion.windows, journals, progress)
        return _finish(conversion, journals)


def made_windows(conversion: SourcePass) -> list[int]:
    """Return the numbers of the windows whose weight files an earlier run has finished, for every variant.

    Raises WrongUsage where a folder in the way is not hubbot's own for this source and recipe.
    """
    prepare(conversion.out, conversion.plan)
    with _journals(conversion) as journals:
        made = []
        writers = [
            _writer(conversion, variant, journal)
            for variant, journal in zip(conversion.plan.variants, journals, strict=True)
        ]
        for window in conversion.windows:
            files = [
                (writer.slots[name].file, journal)
                for writer, variant, journal in zip(writers, conversion.plan.variants, journals, strict=True)
                for name, _, _ in _stored(window, variant)
            ]
            if all(file in journal.files for file, journal in files):
                made.append(window.number)
        return made


def convert_window(conversion: SourcePass, window: Window, progress: Progress) -> None:
    """Write the weight files of one window, for every variant; raises as `convert` does."""
    prepare(conversion.out, conversion.plan)
    with _journals(conversion) as journals:
        _make(conversion, [window], journals, progress)
        for variant, journal in zip(conversion.plan.variants, journals, strict=True):
            write_json(journal.folder / CONFIG, config_of(conversion.plan, variant))


def finish_windows(conversion: SourcePass) -> tuple[Artifact, ...]:
    """Complete the repos whose windows are all written, and move them into place; raises OutOfRoom."""
    with _journals(conversion) as journals:
        return _finish(conversion, journals)


@contextmanager
def _journals(conversion: SourcePass) -> Iterator[list[Journal]]:
    """Open each variant's journal of finished files; on an error delete what was made."""
    journals: list[Journal] = []
    try:
        stamps = _stamps(conversion)
        for variant in conversion.plan.variants:
            identity = _identity(conversion, variant, stamps)
            journals.append(Journal(aside(conversion.out, variant.name), identity, run=conversion.run))
        yield journals
    except HubbotError:
        _clear(journals)
        raise
    except OSError as error:
        _clear(journals)
        raise explained(error, conversion.out) from error


def _clear(journals: Sequence[Journal]) -> None:
    for journal in journals:
        shutil.rmtree(journal.folder, ignore_errors=True)


def _make(
    conversion: SourcePass, windows: Sequence[Window], journals: Sequence[Journal], progress: Progress
) -> None:
    done, total = 0, max(1, sum(window.nbytes for window in windows))
    plan, checkpoint = conversion.plan, conversion.checkpoint
    sources = Sources(tensors=checkpoint.tensors, packed={packed.name: packed for packed in plan.packed})

    def tell(part: Slice) -> None:
        nonlocal done
        done += part.nbytes
        progress(min(done, total), total, part.move.output)

    with Shards(conversion.source, sources) as shards, ExitStack() as stack:
        lanes = [
            streaming.Lane(
                writer=stack.enter_context(_writer(conversion, variant, journal)), encodings=variant.encodings
            )
            for variant, journal in zip(plan.variants, journals, strict=True)
        ]
        belt = streaming.Belt(shards=shards, sources=sources, variants=lanes)
        for window in windows:
            _make_window(conversion, window, belt, tell)


def _make_window(
    conversion: SourcePass, window: Window, belt: streaming.Belt, tell: Callable[[Slice], None]
) -> None:
    with ExitStack() as stack:
        for lane, variant in zip(belt.variants, conversion.plan.variants, strict=True):
            stack.enter_context(lane.writer.window({name for name, _, _ in _stored(window, variant)}))
        streaming.run(list(_slices(conversion, window, belt)), belt, tell)
    for shard in window.released:
        belt.shards.release(shard)


def _slices(conversion: SourcePass, window: Window, belt: streaming.Belt) -> Iterator[Slice]:
    limit = streaming.slice_limit(
        conversion.bounds.working_bytes,
        source_bytes=conversion.checkpoint.weight_bytes,
        output_bytes=conversion.plan.disk_bytes,
    )
    sources = belt.sources
    for move in window.moves:
        if not any(_is_wanted(lane, move) for lane in belt.variants):
            continue
        nbytes = sum(sources.nbytes(name) for name in move.sources)
        # One scale for a whole expert needs the whole expert.
        whole = any(lane.encodings[move.output].global_scale for lane in belt.variants)
        most = int(limit * sources.share_stored(move))
        yield from slices_of(move, sources.shape(move.sources[0]), nbytes, max(1, most), whole_units=whole)


def _is_wanted(lane: streaming.Lane, move: Move) -> bool:
    parts = lane.encodings[move.output].parts(move.output, move.shape)
    return any(lane.writer.wants(name) for name, _, _ in parts)


def _writer(conversion: SourcePass, variant: PlannedVariant, journal: Journal) -> WeightWriter:
    groups = [_stored(window, variant) for window in conversion.windows]
    return WeightWriter(
        journal.folder,
        [part for group in groups for part in group],
        shard_bytes=conversion.bounds.shard_bytes,
        journal=journal,
        begin=frozenset(group[0][0] for group in groups),
    )


def _stored(window: Window, variant: PlannedVariant) -> list[Stored]:
    return [
        part for move in window.moves for part in variant.encodings[move.output].parts(move.output, move.shape)
    ]


def _finish(conversion: SourcePass, journals: Sequence[Journal]) -> tuple[Artifact, ...]:
    plan = conversion.plan
    artifacts = []
    for variant, journal in zip(plan.variants, journals, strict=True):
        write_json(journal.folder / INDEX, _writer(conversion, variant, journal).index())
        artifacts.append(
            finish(
                conversion.checkpoint,
                plan,
                variant,
                source=conversion.source,
                folder=journal.folder,
                known=journal.files,
            )
        )
    for journal in journals:
        journal.close()
    return tuple(move_into_place(artifact, conversion.out) for artifact in artifacts)


def _identity(conversion: SourcePass, variant: PlannedVariant, stamps: Sequence[object]) -> str:
    """Return a fingerprint; files of an interrupted conversion are used again only where it is the same."""
    planned = {**conversion.plan.to_json(), "variants": [variant.to_json()]}
    return fingerprint({"plan": planned, "shard": conversion.bounds.shard_bytes, "source": list(stamps)})


def _stamps(conversion: SourcePass) -> list[tuple[str, int, int]]:
    """Return name, size and mtime of every shard of a local source, which may change after its headers were read.

    Shards of the Hub belong to a commit, and need not all be here at once.
    """
    checkpoint = conversion.checkpoint
    if not checkpoint.repo.is_local:
        return []
    paths = [(shard, conversion.source / shard) for shard in checkpoint.shards]
    return [(shard, path.stat().st_size, path.stat().st_mtime_ns) for shard, path in paths if path.exists()]
