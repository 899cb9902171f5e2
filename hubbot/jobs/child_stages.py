"""The heavy stages as a child process runs them: paths in, plain data out; no network, no token, no database."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.tracer.gate import Tracer
from hubbot.jobs.convert_twin import convert_twin
from hubbot.jobs.window_stages import judged
from hubbot.jobs.workspace import Workspace
from hubbot.pickles.staging import unpickled
from hubbot.steps import convert as converting
from hubbot.steps import plan as planning
from hubbot.steps import smoke as smoking
from hubbot.steps import verify as verifying

Progress = Callable[[Mapping[str, Any]], None]


def _told(progress: Progress) -> Callable[[int, int, str], None]:
    def tell(done: int, total: int, what: str) -> None:
        progress({"done": done, "total": total, "what": what})

    return tell


def plan(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Make and save the plan; returns its predictions in bytes."""
    del progress
    workspace = Workspace(root=Path(request["root"]))
    made = planning.plan(
        workspace.checkpoint(), workspace.layout(), request["variants"], working_bytes=request["working_bytes"]
    )
    workspace.save_plan(made)
    return {"memory_bytes": made.memory_bytes, "disk_bytes": made.disk_bytes, "versions": dict(made.versions)}


def stage(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write pickled weights as safetensors beside them and save the checkpoint that they are."""
    workspace = Workspace(root=Path(request["root"]))
    checkpoint = unpickled(
        workspace.checkpoint(),
        source=Path(request["source"]),
        folder=workspace.source,
        shard_bytes=request["shard_bytes"],
        progress=_told(progress),
    )
    workspace.save("checkpoint", checkpoint.to_json())
    return {"tensors": len(checkpoint.tensors)}


def convert(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Convert all variants into the workspace."""
    workspace = Workspace(root=Path(request["root"]))
    bounds = converting.Bounds(working_bytes=request["working_bytes"], shard_bytes=request["shard_bytes"])
    artifacts = converting.convert(
        workspace.checkpoint(),
        workspace.plan(),
        source=workspace.source,
        out=workspace.out,
        bounds=bounds,
        progress=_told(progress),
    )
    workspace.save("artifacts", [artifact.to_json() for artifact in artifacts])
    return {"variants": [asdict(artifact) for artifact in artifacts]}


def verify(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge the workspace's variants and save a report for each."""
    workspace = Workspace(root=Path(request["root"]))
    checkpoint = workspace.checkpoint()
    examination = _examination(request, workspace)
    verdicts, tracer = {}, Tracer(convert_twin)
    for variant in request["variants"]:
        report = verifying.verify(
            checkpoint,
            source=workspace.source,
            artifact=workspace.variant(variant),
            tracer=tracer,
            examination=examination,
            judged=judged(workspace, variant),
            progress=_told(progress),
        )
        workspace.save(f"report-{variant}", report.to_json())
        verdicts[variant] = report.verdict
    shutil.rmtree(workspace.answers, ignore_errors=True)
    return verdicts


def verify_folder(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Judge any artifact folder against a source folder described by a saved checkpoint."""
    workspace = Workspace(root=Path(request["root"]))
    report = verifying.verify(
        workspace.checkpoint(),
        source=Path(request["source"]),
        artifact=Path(request["artifact"]),
        tracer=Tracer(convert_twin),
        examination=_examination(request, workspace),
        progress=_told(progress),
    )
    return report.to_json()


def _examination(request: dict[str, Any], workspace: Workspace) -> Examination:
    """Return how far to examine; what the unquantized model answers is kept for the source's other variants."""
    asked = dict(request.get("examination") or {})
    corpus, answers = asked.pop("corpus", None), asked.pop("answers", None)
    return Examination(
        corpus=Path(corpus) if corpus else None,
        answers=Path(answers) if answers else workspace.answers,
        **asked,
    )


def smoke(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Let one artifact folder speak and return the record."""
    del progress
    return smoking.smoke(Path(request["folder"]), max_tokens=request["max_tokens"]).to_json()
