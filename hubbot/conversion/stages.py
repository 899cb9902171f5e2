"""The stages of a conversion, from inspect to verify, in the order of `hubbot.lifecycle.Stage`.

Each stage reads from the workspace what the ones before it left, and leaves there what the next ones need. What
a job does besides (records, limits, publishing) is jobs/pipeline.py.
"""

import logging
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hubbot.artifacts import Artifact, Report, seconds_of
from hubbot.cards.changes import tokenizer_parts, updated
from hubbot.cards.made_variants import Made
from hubbot.checkpoints import Checkpoint
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.workspace import Workspace
from hubbot.errors import HubbotError, WorkLost
from hubbot.finishing import REPORT, record
from hubbot.lifecycle import Stage
from hubbot.marks import read_mark
from hubbot.plans import Layout
from hubbot.plots import drawing
from hubbot.steps import card
from hubbot.steps import classify as classifying
from hubbot.steps import inspect as inspecting
from hubbot.steps.card import Setting

logger = logging.getLogger(__name__)


def inspect(conversion: Conversion) -> Checkpoint:
    """Read the source's config and headers; raises as steps.inspect does."""
    checkpoint = inspecting.inspect(conversion.open_source())
    conversion.workspace.save("checkpoint", checkpoint.to_json())
    conversion.workspace.forget_decisions()
    return checkpoint


def classify(conversion: Conversion) -> Layout:
    """Find out how the experts are stored; raises as steps.classify does.

    Raises NoRuntime where only a model file of hubbot's own could run it and the settings want no such extension.
    """
    checkpoint = conversion.workspace.checkpoint()
    layout = classifying.classify(checkpoint)
    if not conversion.settings.extensions:
        classifying.refuse_extension(checkpoint)
    conversion.workspace.save_layout(layout)
    return layout


def plan(conversion: Conversion) -> dict[str, Any]:
    """Plan all variants; returns `memory_bytes` and `disk_bytes` predicted, and `versions` of what plans.

    Raises as steps.plan and read_recipe do.
    """
    request = {
        "variants": list(conversion.variants),
        "recipes": [str(path) for path in conversion.recipes],
        "working_bytes": conversion.settings.working_bytes,
        "text_only": conversion.settings.text_only,
    }
    return conversion.ask("plan", request)


def fetch(conversion: Conversion) -> None:
    """Bring what must be here before the conversion begins; raises as the strategy does."""
    checkpoint = conversion.workspace.checkpoint()
    conversion.strategy_for(checkpoint).fetch(conversion, checkpoint)


def convert(conversion: Conversion) -> tuple[Artifact, ...]:
    """Make all variants and return the artifacts; raises as the strategy does."""
    checkpoint = conversion.workspace.checkpoint()
    conversion.strategy_for(checkpoint).convert(conversion, checkpoint)
    return tuple(conversion.workspace.artifacts())


def verify(conversion: Conversion) -> tuple[Report, ...]:
    """Judge all variants and return the reports, approved or not; raises what the referee raises."""
    variants = [artifact.variant for artifact in conversion.workspace.artifacts()]
    conversion.ask("verify", {"variants": variants, "examination": conversion.settings.examination})
    reports = tuple(conversion.workspace.report(variant) for variant in variants)
    for report in reports:
        if report.verdict == "approved":
            record(report)
    return reports


STAGES: Mapping[Stage, Callable[[Conversion], object]] = MappingProxyType(
    {
        Stage.INSPECT: inspect,
        Stage.CLASSIFY: classify,
        Stage.PLAN: plan,
        Stage.FETCH: fetch,
        Stage.CONVERT: convert,
        Stage.VERIFY: verify,
    }
)


def run(conversion: Conversion, stages: Collection[Stage]) -> None:
    """Run `stages` one after another in the order of lifecycle.Stage; raises what they raise."""
    for stage in Stage:
        if stage in stages:
            STAGES[stage](conversion)


def write_cards(
    conversion: Conversion,
    artifacts: Sequence[Artifact],
    reports: Sequence[Report],
    smoke_records: Mapping[str, Mapping[str, Any]],
    target: Callable[[str], str],
    *,
    setting: Setting,
    published: Sequence[Made] = (),
) -> None:
    """Write every variant's README.md and report.json and draw its pictures; `target` names the repo of a variant.

    Reports and smoke records are those there are; the card says what did not run. `published` are what the repos
    of this source hold now: a variant made anew is compared with it, and the cards of all others are written into
    the workspace's folder `cards`, because every card shows all variants.
    """
    workspace = conversion.workspace
    checkpoint = workspace.checkpoint()
    judged = {report.artifact.variant: report for report in reports}
    before = {item.variant: item for item in published}
    places: dict[str, Path] = {}
    made: list[Made] = []
    for artifact in artifacts:
        folder = Path(artifact.path)
        mark = read_mark(folder)
        if mark is None:
            raise WorkLost(f"the mark of variant {artifact.variant} is gone", where=artifact.path)
        places[artifact.variant] = folder
        fresh = Made(
            repo_id=target(artifact.variant),
            mark=mark,
            report=judged.get(artifact.variant),
            smoke=smoke_records.get(artifact.variant),
            source_files=_weight_files(checkpoint),
            tokenizer_parts=tokenizer_parts(folder),
            seconds=_seconds(workspace, judged.get(artifact.variant), smoke_records.get(artifact.variant)),
        )
        made.append(updated(fresh, before.get(artifact.variant), folder, setting.today))
    shutil.rmtree(workspace.cards, ignore_errors=True)
    for item in published:
        if item.variant not in places:
            places[item.variant] = workspace.cards / item.variant
            places[item.variant].mkdir(parents=True)
            made.append(item)
    for item in made:
        card.write_report(places[item.variant], checkpoint, made, item, setting)
    _draw(conversion, places)
    for item in made:
        card.write_card(places[item.variant], checkpoint, made, item, setting)


def _draw(conversion: Conversion, places: Mapping[str, Path]) -> None:
    """Draw every variant's pictures from the reports; a card can do without them."""
    reports = [str(folder / REPORT) for folder in places.values() if (folder / REPORT).is_file()]
    if not (reports and drawing.is_possible()):
        return
    folders = {variant: str(folder) for variant, folder in places.items()}
    try:
        conversion.ask("draw", {"folders": folders, "reports": reports})
    except HubbotError as error:
        logger.warning("no pictures were drawn: %s", error)


def _seconds(workspace: Workspace, report: Report | None, smoke: Mapping[str, Any] | None) -> dict[str, float]:
    converting = workspace.load("seconds") if workspace.has("seconds") else {}
    told = {"convert": converting.get("stream"), **(report.seconds if report else {})}
    return seconds_of({**told, "smoke": (smoke or {}).get("seconds")})


def _weight_files(checkpoint: Checkpoint) -> tuple[dict[str, Any], ...]:
    shards = set(checkpoint.shards)
    return tuple(asdict(file) for file in checkpoint.files if file.path in shards)


def judge_folder(conversion: Conversion, artifact: Path) -> Report:
    """Return the report on any artifact folder against the source in the workspace, whoever made it.

    Raises what the referee raises.
    """
    request = {"artifact": str(artifact), "examination": conversion.settings.examination}
    return Report.from_json(conversion.ask("verify_folder", request))


def stock_form(conversion: Conversion, artifact: Path) -> str | None:
    """Return the sentence that offers an artifact without hubbot's model file, or None where it is needed.

    Raises what the child raises, such as OutOfMemory where the whole artifact does not fit.
    """
    told = conversion.ask("stock_form", {"folder": str(artifact)}).get("offer")
    return None if told is None else str(told)
