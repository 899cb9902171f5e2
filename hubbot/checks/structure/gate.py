"""Gate 1: a complete, self-consistent MLX repo that stock mlx-lm loads strictly.

Names, shapes, files, hashes, bits and foreign code; never the numbers inside the tensors.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Finding, Status
from hubbot.catalogue import extensions
from hubbot.catalogue.families import Family
from hubbot.catalogue.variants.roles import role_of
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.errors import CorruptConfig, HubbotError
from hubbot.files.digests import sha256_of
from hubbot.finishing import ABOUT, CONFIG, INDEX
from hubbot.runtime import loading

GATE = "structure"
ROUTER_BITS = 8


def _finding(check: str, subject: str, measured: Any, allowed: Any, *, ok: bool, reason: str) -> Finding:
    status: Status = "pass" if ok else "fail"
    return Finding(
        gate=GATE, check=check, subject=subject, measured=measured, allowed=allowed, status=status, reason=reason
    )


def check_files(artifact: Artifact, digests: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings on the files: each as recorded, none foreign, none that can run."""
    recorded = {file.path: file.sha256 for file in artifact.files}
    wrong = [path for path, sha in recorded.items() if digests.get(path) != sha]
    if recorded:
        yield _finding(
            "file hashes", wrong[0] if wrong else "all files", len(wrong), 0, ok=not wrong,
            reason="missing or not the bytes recorded in hubbot.json" if wrong
            else f"{len(recorded)} files are as recorded",
        )  # fmt: skip
    else:
        yield Finding(
            gate=GATE, check="file hashes", subject="all files", measured=None, allowed=None, status="not-run",
            reason="the artifact records no hashes of its files (not made by hubbot)",
        )  # fmt: skip
    strays = sorted(path for path in digests if recorded and path not in recorded and path not in ABOUT)
    yield _finding(
        "foreign files", strays[0] if strays else "folder", len(strays), 0, ok=not strays,
        reason=_why_stray(strays[0]) if strays else "none",
    )  # fmt: skip
    code = extensions.foreign(digests)
    own = sorted(path for path in digests if path in extensions.names() and path not in code)
    yield _finding(
        "foreign code", code[0] if code else "folder", len(code), 0, ok=not code,
        reason="a file that can run when loaded, and not one of hubbot's own byte for byte" if code
        else f"none; {', '.join(own)} is hubbot's own" if own else "none",
    )  # fmt: skip


def read_config(folder: Path) -> dict[str, Any]:
    """Return the artifact's config.json, or raise CorruptConfig."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptConfig(f"config.json cannot be read: {error}", where=str(folder)) from error
    if not isinstance(config, dict):
        raise CorruptConfig("config.json is not a JSON object", where=str(folder))
    return config


def _why_stray(name: str) -> str:
    merged = name.startswith("model") and name.endswith(".safetensors")
    return "mlx-lm merges every model*.safetensors it finds" if merged else "hubbot did not make this file"


def check_config(config: Mapping[str, Any], family: Family) -> Iterator[Finding]:
    """Yield findings on config keys that make a loader run code of the repo, allowed for hubbot's own file."""
    allowed = {"model_file": family.model_file} if family.model_file else {}
    runs = {key: config[key] for key in ("model_file", "auto_map") if key in config}
    wrong = sorted(key for key in {*runs, *allowed} if runs.get(key) != allowed.get(key))
    yield _finding(
        "config runs code", wrong[0] if wrong else "config.json", runs, allowed, ok=not wrong,
        reason=_why_code(wrong[0], runs) if wrong else "no key, or hubbot's own model file",
    )  # fmt: skip


def _why_code(key: str, runs: Mapping[str, Any]) -> str:
    if key in runs:
        return "the key makes a loader execute a file of the repo"
    return "without it mlx-lm would run its own class, which computes something else for this family"


def check_index(folder: Path, stored: StoredParameters) -> Iterator[Finding]:
    """Yield a finding on the bijection between the index and the shards' headers."""
    in_shards = {name: tensor.shard for name, tensor in stored.files.tensors.items()}
    doubled = stored.files.doubled
    yield _finding(
        "tensor in one shard", doubled[0] if doubled else "all tensors", len(doubled), 0, ok=not doubled,
        reason="stands in two shards" if doubled else f"{len(in_shards)} tensors",
    )  # fmt: skip
    index = _index(folder)
    if index is None:
        one = len(set(in_shards.values())) == 1
        yield _finding("index", INDEX, "none", "needed for several shards", ok=one, reason="one shard needs none")
        return
    differ = sorted(name for name in {*in_shards, *index} if in_shards.get(name) != index.get(name))
    yield _finding(
        "index", differ[0] if differ else INDEX, len(differ), 0, ok=not differ,
        reason="index and headers disagree" if differ else "index and headers name the same tensors",
    )  # fmt: skip
    total, held = _total(folder), sum(tensor.nbytes for tensor in stored.files.tensors.values())
    if total is not None and total != held:
        yield _finding(
            "index", f"{INDEX}, total_size", total, held, ok=False, reason="not the bytes of the tensors"
        )  # fmt: skip


def _total(folder: Path) -> int | None:
    try:
        total = json.loads((folder / INDEX).read_text(encoding="utf-8"))["metadata"]["total_size"]
    except (ValueError, KeyError, TypeError):
        return None
    return total if isinstance(total, int) else None


def check_tensors(
    stored: StoredParameters, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield findings on every parameter: there, of the right shape, encoded as config.json says."""
    missing = [name for name in shapes if name not in stored.by_name]
    yield _finding(
        "parameters present", missing[0] if missing else "all parameters", len(missing), 0, ok=not missing,
        reason="the model needs it and the artifact does not hold it" if missing else f"{len(shapes)} parameters",
    )  # fmt: skip
    extra = stored.unclaimed
    yield _finding(
        "no other tensors", extra[0] if extra else "all tensors", len(extra), 0, ok=not extra,
        reason="the model has no such parameter" if extra else "none",
    )  # fmt: skip
    wrong = [p for p in stored.by_name.values() if p.shape != shapes[p.name]]
    yield _finding(
        "shapes", wrong[0].name if wrong else "all parameters", list(wrong[0].shape) if wrong else 0,
        list(shapes[wrong[0].name]) if wrong else 0, ok=not wrong,
        reason="the stored shape is not the model's" if wrong else "as in the model that config.json describes",
    )  # fmt: skip
    block = config.get("quantization") or {}
    yield from _check_bits(stored, block if isinstance(block, dict) else {}, config.get("quantization_config"))
    yield from _check_routers(stored)


_TWIN = "the Hub shows this block, mlx-lm reads `quantization`, and the two disagree"


def _check_bits(stored: StoredParameters, block: Mapping[str, Any], twin: Any) -> Iterator[Finding]:
    default = {key: block.get(key) for key in ("mode", "bits", "group_size")}
    wrong: list[tuple[StoredParameter, Any]] = []
    for parameter in stored.by_name.values():
        said = block.get(parameter.module, default if parameter.mode != "none" else None)
        proven = {"mode": parameter.mode, "bits": parameter.bits, "group_size": parameter.group_size}
        told = {"mode": "affine", **said} if isinstance(said, dict) else {}
        if bool(said) if parameter.mode == "none" else any(told.get(k) != v for k, v in proven.items()):
            wrong.append((parameter, said))
    first, said = wrong[0] if wrong else (None, None)
    if twin is not None and twin != block:
        yield _finding("bits", "config.json, quantization_config", twin, block, ok=False, reason=_TWIN)
    yield _finding(
        "bits", first.name if first else "all parameters",
        f"{first.mode} {first.bits} bits, groups of {first.group_size}" if first else 0, said or 0, ok=not wrong,
        reason="config.json says other bits than the tensors' shapes prove" if first
        else "config.json says what the tensors' shapes prove",
    )  # fmt: skip


def _check_routers(stored: StoredParameters) -> Iterator[Finding]:
    routers = [p for p in stored.by_name.values() if role_of(p.name) in {"router", "shared_expert_gate"}]
    low = [p for p in routers if p.mode != "none" and p.bits < ROUTER_BITS]
    yield _finding(
        "router bits", low[0].name if low else f"{len(routers)} routers", low[0].bits if low else ROUTER_BITS,
        f">= {ROUTER_BITS}", ok=not low,
        reason="a router at few bits chooses other experts" if low else "no router is below the limit",
    )  # fmt: skip


def check_load(folder: Path) -> Iterator[Finding]:
    """Yield findings from a strict stock load: it loads, and its sanitize leaves the artifact alone."""
    try:
        changed = loading.load_and_resanitize(folder)
    except HubbotError as error:
        yield _finding("strict load", "stock mlx_lm.load", error.message, "loads", ok=False, reason="it refuses")
        return
    own = loading.own_file(folder)
    reason = "strict, with trust_remote_code for hubbot's own model file" if own else "strict, no remote code"
    yield _finding("strict load", "stock mlx_lm.load", "loads", "loads", ok=True, reason=reason)
    yield _finding(
        "sanitize idempotent", changed[0] if changed else "all tensors", len(changed), 0, ok=not changed,
        reason="the class's own sanitize would change the finished artifact when it is loaded" if changed
        else "sanitize leaves every tensor as it is",
    )  # fmt: skip


_OTHERS = re.compile(r"\.(?:gitattributes|gitignore)$|\.(?:cache|git)/|(?:.*/)?(?:\.DS_Store$|\._)")


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of the folder, by path.

    Some dot files are not the repo's: the Hub adds .gitattributes, its client .cache, a Mac .DS_Store. Nor is
    what Python compiled when somebody loaded the repo here; see `_is_leftover`.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _OTHERS.match(name) and not _is_leftover(path):
            found[name] = sha256_of(path)
    return found


def _is_leftover(path: Path) -> bool:
    """Say whether Python compiled this file here, from a source of the very minute that its header names.

    A compiled file that came with the repo would have to guess when it is downloaded, or be of the kind that
    Python runs without asking for the time (PEP 552); that kind stays in the list, as foreign code.
    """
    if path.parent.name != "__pycache__" or path.suffix != ".pyc":
        return False
    with path.open("rb") as file:
        header = file.read(8)
    return len(header) == 8 and header[4:] == b"\0\0\0\0"


def _index(folder: Path) -> dict[str, str] | None:
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {str(name): str(shard) for name, shard in found.items()} if isinstance(found, dict) else {}
