"""Convert a checkpoint by its plan: read the source once, write every variant, hold a few slices in memory.

1. Open a journal per variant in `.<variant>.partial`: complete files of a killed run stay. 2. Per window: cut its
moves into slices and stream them (read, compute, write); complete files are synced and recorded. 3. Finish: index,
config, side files, mark; sync and rename to `<variant>`. An error leaves nothing behind; a kill leaves the
journals. It proves nothing about the result: that is the referee's work.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hubbot.artifacts import Artifact
from hubbot.checkpoints import Checkpoint
from hubbot.engine import streaming
from hubbot.engine.journal import Journal
from hubbot.engine.memory import physical_bytes
from hubbot.engine.reader import Shards, Sources
from hubbot.engine.slices import Slice, slices_of
from hubbot.engine.stage_times import StageTimes
from hubbot.engine.tied_embeddings import check_tied
from hubbot.engine.writer import Stored, WeightWriter
from hubbot.engine.zero_biases import check_zero_biases
from hubbot.errors import HubbotError, OutOfRoom
from hubbot.files.atomic_folders import (
    check_room,
    explain,
    make_folder,
    partial_folder,
    refuse_foreign,
    replace_folder,
)
from hubbot.files.sizes import readable
from hubbot.finishing import CONFIG, INDEX, check_tokenizer, config_of, finish, write_json
from hubbot.marks import MARK, fingerprint, read_mark, same_origin
from hubbot.moves import Move
from hubbot.plans import Plan, PlannedVariant
from hubbot.progress import Progress
from hubbot.windows import Window, windows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may be in memory and in one file: bytes that slices may take together, bytes per output shard.

    `is_numbered` is True for tracer runs: weights are element ids, so value checks (tied embeddings) are skipped.
    """

    working_bytes: int
    shard_bytes: int
    is_numbered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePass:
    """One pass over a source: `source` is the folder with the weights, `out` where DIR/<variant>/ will be.

    `run` names one undisturbed run of several calls: files that it made or checked before are not hashed again.
    """

    checkpoint: Checkpoint
    plan: Plan
    source: Path
    out: Path
    bounds: Bounds
    windows: tuple[Window, ...]
    times: StageTimes
    run: str | None = None

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        plan: Plan,
        *,
        source: Path,
        out: Path,
        bounds: Bounds,
        times: StageTimes | None = None,
        run: str | None = None,
    ) -> "SourcePass":
        """Return the pass with its windows, in the order in which they must be made."""
        check_tokenizer(source)  # before the work, not after it
        windows = windows_of(plan, checkpoint.tensors, bounds.shard_bytes)
        return cls(
            checkpoint=checkpoint,
            plan=plan,
            source=source,
            out=out,
            bounds=bounds,
            windows=windows,
            times=times or StageTimes(time.monotonic),
            run=run,
        )


def convert(
    checkpoint: Checkpoint,
    plan: Plan,
    *,
    source: Path,
    out: Path,
    bounds: Bounds,
    progress: Progress,
    times: StageTimes | None = None,
) -> tuple[Artifact, ...]:
    """Write DIR/<variant>/ for every variant of `plan` and return the artifacts; `times` is added to.

    Raises WrongUsage where a folder in the way is not hubbot's own for this source and recipe, OutOfRoom on a
    full disk, ConfigUnresolved where only the config ties an output layer, IncompleteCover where a bias without a
    place is not zero, ValueMismatch for NaN or infinity in
    the source or an overflow of fp16.
    """
    conversion = SourcePass.of(checkpoint, plan, source=source, out=out, bounds=bounds, times=times)
    if not bounds.is_numbered:
        check_tied(checkpoint, plan, source)
        check_zero_biases(checkpoint, plan, source)
    prepare(out, plan)
    with _journals(conversion) as journals:
        needed = plan.disk_bytes - sum(journal.nbytes for journal in journals)
        hint = "free some space, ask for fewer variants, or use --free-source with a repo of the Hub"
        check_room(out, needed, purpose="the conversion", hint=hint)
        _make(conversion, conversion.windows, journals, progress)
        return _finish(conversion, journals)


def prepare(out: Path, plan: Plan) -> None:
    """Make folder `out`, and refuse to write over what is not hubbot's own.

    Raises WrongUsage where `out` is a file, or where a variant's folder exists that was not made from the same
    source by the same recipe.
    """
    for variant in plan.variants:
        refuse_foreign(
            out / variant.name,
            partial(_is_ours, plan, variant),
            f"the folder exists and its {MARK} does not mark the same source and recipe",
        )
    make_folder(out)


def _is_ours(plan: Plan, variant: PlannedVariant, folder: Path) -> bool:
    mark = read_mark(folder)
    if mark is None or not same_origin(mark, plan.source, variant.name):
        return False
    return bool(mark.get("recipe") == variant.recipe)


def check_memory(plan: Plan) -> None:
    """Raise OutOfRoom, with the numbers, where the plan's peak is more than the machine's memory."""
    there = physical_bytes()
    if there is not None and there < plan.memory_bytes:
        raise OutOfRoom(
            f"the conversion needs {readable(plan.memory_bytes)} of memory, this machine has {readable(there)}",
            where=plan.source.id,
            hint="a single expert that cannot be cut is that large; leave out nvfp4, or use another machine",
        )


def move_into_place(artifact: Artifact, out: Path) -> Artifact:
    """Replace `out`/variant by the finished folder, every byte on the disk, and return the artifact there."""
    final = out / artifact.variant
    replace_folder(Path(artifact.path), final)
    return replace(artifact, path=str(final))


def made_windows(conversion: SourcePass) -> list[int]:
    """Return the numbers of the windows whose weight files are complete for every variant.

    Raises WrongUsage as `prepare` does.
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
    """Make the weight files of one window, for every variant; raises as `convert` does."""
    prepare(conversion.out, conversion.plan)
    with _journals(conversion) as journals:
        _make(conversion, [window], journals, progress)
        for variant, journal in zip(conversion.plan.variants, journals, strict=True):
            write_json(journal.folder / CONFIG, config_of(conversion.plan, variant))


def finish_windows(conversion: SourcePass) -> tuple[Artifact, ...]:
    """Complete the variants' repos, whose windows must all be made, and move them into place.

    Raises OutOfRoom on a full disk.
    """
    with _journals(conversion) as journals:
        return _finish(conversion, journals)


@contextmanager
def _journals(conversion: SourcePass) -> Iterator[list[Journal]]:
    """Open the journal of every variant; on an error their folders are removed."""
    journals: list[Journal] = []
    try:
        stamps = _stamps(conversion)
        for variant in conversion.plan.variants:
            identity = _identity(conversion, variant, stamps)
            journals.append(Journal(partial_folder(conversion.out / variant.name), identity, run=conversion.run))
        yield journals
    except HubbotError:
        _clear(journals)
        raise
    except OSError as error:
        _clear(journals)
        raise explain(error, conversion.out) from error


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
        outputs = [
            streaming.VariantOutput(
                writer=stack.enter_context(_writer(conversion, variant, journal)), encodings=variant.encodings
            )
            for variant, journal in zip(plan.variants, journals, strict=True)
        ]
        run = streaming.StreamRun(
            shards=shards,
            sources=sources,
            variants=outputs,
            nbytes=checkpoint.weight_bytes,
            times=conversion.times,
        )
        for window in windows:
            _make_window(conversion, window, run, tell)


def _make_window(
    conversion: SourcePass, window: Window, run: streaming.StreamRun, tell: Callable[[Slice], None]
) -> None:
    with ExitStack() as stack:
        for output, variant in zip(run.variants, conversion.plan.variants, strict=True):
            stack.enter_context(output.writer.window({name for name, _, _ in _stored(window, variant)}))
        with conversion.times.measure("stream"):
            streaming.stream(list(_slices(conversion, window, run)), run, tell)
    for shard in window.released:
        run.shards.release(shard)


def _slices(conversion: SourcePass, window: Window, run: streaming.StreamRun) -> Iterator[Slice]:
    limit = streaming.slice_limit(
        conversion.bounds.working_bytes,
        source_bytes=conversion.checkpoint.weight_bytes,
        output_bytes=conversion.plan.disk_bytes,
    )
    sources = run.sources
    for move in window.moves:
        if not any(_is_wanted(output, move) for output in run.variants):
            continue
        nbytes = sum(sources.nbytes(name) for name in move.sources)
        # One scale for a whole expert needs the whole expert.
        whole = any(output.encodings[move.output].global_scale for output in run.variants)
        most = int(limit * sources.share_stored(move))
        yield from slices_of(move, sources.shape(move.sources[0]), nbytes, max(1, most), whole_units=whole)


def _is_wanted(output: streaming.VariantOutput, move: Move) -> bool:
    parts = output.encodings[move.output].parts(move.output, move.shape)
    return any(output.writer.wants(name) for name, _, _ in parts)


def _writer(conversion: SourcePass, variant: PlannedVariant, journal: Journal) -> WeightWriter:
    groups = [_stored(window, variant) for window in conversion.windows]
    return WeightWriter(
        journal.folder,
        [part for group in groups for part in group],
        shard_bytes=conversion.bounds.shard_bytes,
        journal=journal,
        begin=frozenset(group[0][0] for group in groups),
        times=conversion.times,
        together=len(conversion.plan.variants),
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
    """Return what must be unchanged for files left by an interrupted conversion to be used again."""
    planned = {**conversion.plan.to_json(), "variants": [variant.to_json()]}
    return fingerprint({"plan": planned, "shard": conversion.bounds.shard_bytes, "source": list(stamps)})


def _stamps(conversion: SourcePass) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of every shard of a local source, which may change under its headers.

    Shards of the Hub are named by their commit, and need not all be here at once.
    """
    checkpoint = conversion.checkpoint
    if not checkpoint.repo.is_local:
        return []
    paths = [(shard, conversion.source / shard) for shard in checkpoint.shards]
    return [(shard, path.stat().st_size, path.stat().st_mtime_ns) for shard, path in paths if path.exists()]
