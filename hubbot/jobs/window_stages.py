"""One window of a conversion as a child process runs it: convert it, judge it, and at the end finish the repos."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubbot.checks.values.per_window import Judged
from hubbot.files.atomic_folders import partial_folder
from hubbot.jobs.workspace import Workspace, judged_name
from hubbot.steps import convert as converting
from hubbot.steps import verify as verifying

Progress = Callable[[Mapping[str, Any]], None]


def _conversion(request: Mapping[str, Any]) -> converting.Conversion:
    workspace = Workspace(root=Path(request["root"]))
    return converting.Conversion.of(
        workspace.checkpoint(),
        workspace.plan(),
        source=workspace.source,
        out=workspace.out,
        bounds=converting.Bounds(working_bytes=request["working_bytes"], shard_bytes=request["shard_bytes"]),
        run=request["run"],
    )


def open_windows(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Look at what an interrupted conversion left, hash it, and return the numbers of the windows it has made."""
    del progress
    return {"made": converting.made_windows(_conversion(request))}


def convert_window(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Make the weight files of window number `window`."""
    conversion = _conversion(request)

    def tell(done: int, total: int, what: str) -> None:
        progress({"done": done, "total": total, "what": what})

    converting.convert_window(conversion, conversion.windows[request["window"]], tell)
    return {}


def judge_window(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Save what the values gate finds on the outputs of window number `window`, of every variant."""
    workspace = Workspace(root=Path(request["root"]))
    conversion = _conversion(request)
    names = [move.output for move in conversion.windows[request["window"]].moves]
    for variant in conversion.plan.variants:
        judged = verifying.verify_part(
            conversion.checkpoint,
            source=workspace.source,
            artifact=partial_folder(workspace.out / variant.name),
            names=names,
            progress=lambda done, total, what: progress({"done": done, "total": total, "what": what}),
        )
        workspace.save(judged_name(variant.name, request["window"]), judged.to_json())
    return {}


def finish_windows(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Complete the repos of all variants."""
    del progress
    workspace = Workspace(root=Path(request["root"]))
    artifacts = converting.finish_windows(_conversion(request))
    workspace.save("artifacts", [artifact.to_json() for artifact in artifacts])
    return {"variants": [asdict(artifact) for artifact in artifacts]}


def judged(workspace: Workspace, variant: str) -> Judged | None:
    """Return what was found on all windows of a variant, or None where it was not judged in windows."""
    found = sorted(workspace.root.glob(f"{judged_name(variant, 0)[:-1]}*.json"))
    parts = [Judged.from_json(workspace.load(path.stem)) for path in found]
    return Judged.joined(parts) if parts else None
