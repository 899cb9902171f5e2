"""The heavy stages as a child process runs them: paths in, plain data out; no network, no token, no database.

Each takes its request and a progress callback; each raises what its step raises, WorkLost where its input is gone.
"""

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubbot.catalogue.variants.recipes import read_recipe
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.tracer.gate import Tracer
from hubbot.conversion.convert_twin import convert_twin
from hubbot.conversion.smoke_over_hosts import smoke_over_hosts
from hubbot.conversion.window_stages import judged
from hubbot.conversion.workspace import Workspace
from hubbot.engine.stage_times import StageTimes
from hubbot.pickles.staging import unpickled
from hubbot.plots import drawing
from hubbot.progress import Progress
from hubbot.runtime.loading import without_compiler
from hubbot.runtime.stock_form import offer
from hubbot.steps import convert as converting
from hubbot.steps import plan as planning
from hubbot.steps import smoke as smoking
from hubbot.steps import verify as verifying


def plan(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Make and save the plan; returns its predictions in bytes."""
    del progress
    workspace = Workspace.from_request(request)
    variants = [*request["variants"], *(read_recipe(Path(path)) for path in request.get("recipes", ()))]
    planned = planning.plan(
        workspace.checkpoint(),
        workspace.layout(),
        variants,
        working_bytes=request["working_bytes"],
        text_only=request["text_only"],
    )
    workspace.save_plan(planned)
    return {
        "memory_bytes": planned.memory_bytes,
        "disk_bytes": planned.disk_bytes,
        "versions": dict(planned.versions),
    }


def stage(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write pickled weights of folder `pickles` as safetensors into the source folder, and save the checkpoint."""
    workspace = Workspace.from_request(request)
    checkpoint = unpickled(
        workspace.checkpoint(),
        source=Path(request["pickles"]),
        folder=workspace.source,
        shard_bytes=request["shard_bytes"],
        progress=progress,
    )
    workspace.save("checkpoint", checkpoint.to_json())
    return {"tensors": len(checkpoint.tensors)}


def convert(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Convert all variants into the workspace."""
    workspace = Workspace.from_request(request)
    bounds = converting.Bounds(working_bytes=request["working_bytes"], shard_bytes=request["shard_bytes"])
    times = StageTimes(time.monotonic)
    artifacts = converting.convert(
        workspace.checkpoint(),
        workspace.plan(),
        source=workspace.source,
        out=workspace.out,
        bounds=bounds,
        progress=progress,
        times=times,
    )
    workspace.save("seconds", times.to_json())
    workspace.save("artifacts", [artifact.to_json() for artifact in artifacts])
    return {"variants": [asdict(artifact) for artifact in artifacts]}


@without_compiler()
def verify(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge the workspace's variants and save a report for each."""
    workspace = Workspace.from_request(request)
    checkpoint = workspace.checkpoint()
    examination = _examination(request, workspace)
    drawing.prepare()  # the pictures of the card are drawn soon
    reports = verifying.verify_each(
        checkpoint,
        source=workspace.source,
        artifacts={workspace.variant(name): judged(workspace, name) for name in request["variants"]},
        tracer=Tracer(convert_twin),
        examination=examination,
        progress=progress,
    )
    verdicts = {}
    for variant, report in zip(request["variants"], reports, strict=True):
        workspace.save(f"report-{variant}", report.to_json())
        verdicts[variant] = report.verdict
    shutil.rmtree(workspace.answers, ignore_errors=True)
    return verdicts


@without_compiler()
def verify_folder(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge any artifact folder against a source folder described by a saved checkpoint."""
    workspace = Workspace.from_request(request)
    report = verifying.verify(
        workspace.checkpoint(),
        source=workspace.source,
        artifact=Path(request["artifact"]),
        tracer=Tracer(convert_twin),
        examination=_examination(request, workspace),
        progress=progress,
    )
    return report.to_json()


def stock_form(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Say whether mlx-lm's own class runs an artifact folder as the model file in it does; needs it in memory."""
    del progress
    return {"offer": offer(Path(request["folder"]))}


def _examination(request: dict[str, Any], workspace: Workspace) -> Examination:
    """Return how much the behaviour gate examines; its baseline is kept for the next variant."""
    asked = dict(request.get("examination") or {})
    corpus = asked.pop("corpus", None)
    return Examination(corpus=Path(corpus) if corpus else None, answers=workspace.answers, **asked)


@without_compiler()
def smoke(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Smoke-test an artifact folder and return the record with the seconds it took.

    It runs over `hosts` where the artifact exceeds `memory_bytes`.
    """
    del progress
    started = time.monotonic()
    record = _smoked(request)
    return {**record, "seconds": round(time.monotonic() - started, 3)}


def _smoked(request: dict[str, Any]) -> dict[str, Any]:
    folder, hosts = Path(request["folder"]), request.get("hosts") or ()
    nbytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if hosts and nbytes > request["memory_bytes"]:
        return smoke_over_hosts(folder, max_tokens=request["max_tokens"], hosts=hosts, seconds=request["seconds"])
    return smoking.smoke(Path(request["folder"]), max_tokens=request["max_tokens"]).to_json()
