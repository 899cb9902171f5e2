"""Gate 1 on files: each as recorded, none foreign, none that can run."""

from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.artifacts import Artifact, Finding
from hubbot.catalogue import extensions
from hubbot.catalogue.families import Family
from hubbot.checks.structure import finding
from hubbot.finishing import ABOUT


def check_files(artifact: Artifact, digests: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings on the files: each as recorded, none foreign, none that can run."""
    recorded = {file.path: file.sha256 for file in artifact.files}
    wrong = [path for path, sha in recorded.items() if digests.get(path) != sha]
    if recorded:
        yield finding.decided(
            "file hashes", wrong[0] if wrong else "all files", len(wrong), 0, ok=not wrong,
            reason="missing or not the bytes recorded in hubbot.json" if wrong
            else f"{len(recorded)} files are as recorded",
        )  # fmt: skip
    else:
        yield finding(
            "file hashes", "all files", None, None, "not-run",
            "the artifact records no hashes of its files (not made by hubbot)",
        )  # fmt: skip
    strays = sorted(path for path in digests if recorded and path not in recorded and path not in ABOUT)
    yield finding.decided(
        "foreign files", strays[0] if strays else "folder", len(strays), 0, ok=not strays,
        reason=_why_stray(strays[0]) if strays else "none",
    )  # fmt: skip
    code = extensions.foreign(digests)
    own = sorted(path for path in digests if path in extensions.names() and path not in code)
    yield finding.decided(
        "foreign code", code[0] if code else "folder", len(code), 0, ok=not code,
        reason="a file that can run when loaded, and not one of hubbot's own byte for byte" if code
        else f"none; {', '.join(own)} is hubbot's own" if own else "none",
    )  # fmt: skip


def _why_stray(name: str) -> str:
    merged = name.startswith("model") and name.endswith(".safetensors")
    return "mlx-lm merges every model*.safetensors it finds" if merged else "hubbot did not make this file"


def check_code(config: Mapping[str, Any], family: Family) -> Iterator[Finding]:
    """Yield findings on config keys that make a loader run code of the repo, allowed for hubbot's own file."""
    allowed = {"model_file": family.model_file} if family.model_file else {}
    runs = {key: config[key] for key in ("model_file", "auto_map") if key in config}
    wrong = sorted(key for key in {*runs, *allowed} if runs.get(key) != allowed.get(key))
    yield finding.decided(
        "config runs code", wrong[0] if wrong else "config.json", runs, allowed, ok=not wrong,
        reason=_why_code(wrong[0], runs) if wrong else "no key, or hubbot's own model file",
    )  # fmt: skip


def _why_code(key: str, runs: Mapping[str, Any]) -> str:
    if key in runs:
        return "the key makes a loader execute a file of the repo"
    return "without it mlx-lm would run its own class, which computes something else for this family"
