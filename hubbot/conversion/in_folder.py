"""A conversion into a folder of the person's own: planned elsewhere, so that a refusal writes nothing there.

Downloads and unfinished work stay in DIR/.work until the variants are complete, so that the same command goes on
where it was interrupted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hubbot.artifacts import Artifact, Report
from hubbot.checkpoints import Checkpoint
from hubbot.conversion import stages
from hubbot.conversion.conversion import Conversion, SourceStrategy, reading_in_place
from hubbot.conversion.shard_by_shard import ShardByShard
from hubbot.conversion.source_files import still_staged
from hubbot.conversion.whole_source import WholeSource
from hubbot.conversion.workspace import Workspace
from hubbot.errors import NeedsHuman, WorkLost, WrongUsage
from hubbot.hub.client import Hub
from hubbot.lifecycle import Stage
from hubbot.plans import Plan
from hubbot.sources.pickle_files import has_pickles
from hubbot.steps.card import Setting
from hubbot.steps.convert import check_memory, prepare

WORK = ".work"
PLANNING = (Stage.INSPECT, Stage.CLASSIFY, Stage.PLAN)
CONVERTING = (Stage.FETCH, Stage.CONVERT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The variants in their places, and the reports on them, none where none was asked for.

    `seconds` are those of the converter's stages, summed over its threads; "stream" is the wall time of them all.
    """

    artifacts: tuple[Artifact, ...]
    reports: tuple[Report, ...]
    seconds: Mapping[str, float]


def whole_source(_checkpoint: Checkpoint) -> SourceStrategy:
    """Return the usual strategy: the whole source is here before the conversion begins."""
    return WholeSource()


def free_source(origin: Hub | Path, *, judged: bool) -> Callable[[Checkpoint], SourceStrategy]:
    """Return the choice of a conversion that frees its source, for what hubbot itself downloads as safetensors.

    Raises WrongUsage for a folder; the choice raises NeedsHuman for pickled weights.
    """
    if isinstance(origin, Path):
        raise WrongUsage(
            "--free-source deletes weights, and never those of a folder that hubbot did not download",
            where=str(origin),
            hint="leave it out, or give a repo id",
        )

    def choose(checkpoint: Checkpoint) -> SourceStrategy:
        if has_pickles(checkpoint):
            raise NeedsHuman(
                "--free-source needs safetensors: pickled weights are staged as a whole",
                where=checkpoint.repo.id,
                hint="leave --free-source out",
            )
        return ShardByShard(judged=judged)

    return choose


def plan(conversion: Conversion) -> tuple[Plan, int]:
    """Return the plan, and the most bytes that will be on disk at once; raises as the stages up to plan do."""
    stages.run(conversion, PLANNING)
    planned, checkpoint = conversion.workspace.plan(), conversion.workspace.checkpoint()
    return planned, conversion.strategy_for(checkpoint).peak_disk_bytes(conversion, checkpoint, planned)


def convert(conversion: Conversion, out: Path, *, verified: bool) -> Finished:
    """Make what is planned in the conversion's workspace in `out`/<variant>, with cards; judge it if `verified`.

    Raises OutOfRoom where memory or disk is too small, WrongUsage where a folder in the way is not hubbot's own
    for this source and recipe, and what the stages raise. A refused variant stays in its place with its report.
    """
    planned = conversion.workspace.plan()
    check_memory(planned)
    prepare(out, planned)
    working = _resumed(conversion, out)
    workspace = working.workspace
    try:
        stages.run(working, CONVERTING)
        reports = stages.verify(working) if verified else ()
    except BaseException:
        if not (workspace.root / "source").exists():
            workspace.remove()  # nothing was downloaded or staged that could be used again
        raise
    stages.write_cards(
        working,
        workspace.artifacts(),
        reports,
        {},
        lambda variant: workspace.variant(variant).name,
        setting=Setting(),
    )
    seconds = workspace.load("seconds") if workspace.has("seconds") else {}
    finished = Finished(artifacts=tuple(workspace.artifacts()), reports=reports, seconds=seconds)
    workspace.remove()
    return finished


def _resumed(conversion: Conversion, out: Path) -> Conversion:
    """Return the conversion with its work in `out`, where an interrupted one may have left some of it."""
    planned = conversion.workspace
    workspace = Workspace(root=out / WORK, out_folder=out)
    checkpoint = planned.checkpoint()
    moved = reading_in_place(replace(conversion, workspace=workspace), checkpoint)
    if isinstance(conversion.origin, Hub):
        checkpoint = still_staged(workspace, checkpoint)
    if isinstance(conversion.origin, Path) or not _same_plan(workspace, planned):
        workspace.forget()
    workspace.save("checkpoint", checkpoint.to_json())
    workspace.save("plan", planned.load("plan"))
    return moved


def _same_plan(workspace: Workspace, planned: Workspace) -> bool:
    try:
        return bool(workspace.load("plan") == planned.load("plan"))
    except WorkLost:
        return False
