"""One window of a conversion as a child process runs it: convert it, judge it, and at the end finish the repos.

Paths in, plain data out, as in child_stages.py; shard_by_shard.py knows their order.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hubbot.checks.values.window_findings import WindowFindings
from hubbot.conversion.workspace import Workspace, judged_name
from hubbot.files.atomic_folders import partial_folder
from hubbot.progress import Progress
from hubbot.steps import convert as converting
from hubbot.steps import verify as verifying


def _source_pass(workspace: Workspace, request: Mapping[str, Any]) -> converting.SourcePass:
    return converting.SourcePass.of(
        workspace.checkpoint(),
        workspace.plan(),
        source=workspace.source,
        out=workspace.out,
        bounds=converting.Bounds(working_bytes=request["working_bytes"], shard_bytes=request["shard_bytes"]),
        run=request["run"],
    )


def open_windows(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Hash the files of an interrupted conversion, and return the numbers of the windows it has finished."""
    del progress
    return {"made": converting.made_windows(_source_pass(Workspace.from_request(request), request))}


def convert_window(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write the weight files of window number `window`; raises as steps.convert.convert_window does."""
    workspace = Workspace.from_request(request)
    source_pass = _source_pass(workspace, request)
    converting.convert_window(source_pass, source_pass.windows[request["window"]], progress)
    if workspace.has("seconds"):
        source_pass.times.add(workspace.load("seconds"))
    workspace.save("seconds", source_pass.times.to_json())
    return {}


def judge_window(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Save the findings of the values gate on the outputs of window number `window`, for every variant."""
    workspace = Workspace.from_request(request)
    source_pass = _source_pass(workspace, request)
    names = [move.output for move in source_pass.windows[request["window"]].moves]
    variants = source_pass.plan.variants
    found = verifying.verify_part(
        source_pass.checkpoint,
        source=workspace.source,
        artifacts=[partial_folder(workspace.out / variant.name) for variant in variants],
        names=names,
        progress=progress,
    )
    for variant, judged in zip(variants, found, strict=True):
        workspace.save(judged_name(variant.name, request["window"]), judged.to_json())
    return {}


def finish_windows(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Complete the repos of all variants; raises as steps.convert.finish_windows does."""
    del progress
    workspace = Workspace.from_request(request)
    artifacts = converting.finish_windows(_source_pass(workspace, request))
    workspace.save("artifacts", [artifact.to_json() for artifact in artifacts])
    return {"variants": [asdict(artifact) for artifact in artifacts]}


def judged(workspace: Workspace, variant: str) -> WindowFindings | None:
    """Return the values gate's findings on all windows of a variant, or None where it was not judged in windows.

    Raises WorkLost where a file of findings is torn.
    """
    files = sorted(workspace.root.glob(f"{judged_name(variant, 0)[:-1]}*.json"))
    parts = [WindowFindings.from_json(workspace.load(path.stem)) for path in files]
    return WindowFindings.joined(parts) if parts else None
