"""hubbot.json: the mark that hubbot leaves in every repo it makes, and everything needed to make it again.

It is a function of source, recipe and versions alone: no dates, no timings, no paths of a machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubbot.checkpoints import FileInfo, Repo
from hubbot.plans import Plan, PlannedVariant

MARK = "hubbot.json"
FORMAT = 1
MAX_BYTES = 256 << 20


def mark(plan: Plan, variant: PlannedVariant, files: tuple[FileInfo, ...], *, verified: bool) -> dict[str, Any]:
    """Return the content of hubbot.json for one variant; `files` are all others of the repo with sha256."""
    return {
        "made_by": "hubbot",
        "format": FORMAT,
        "source": source_of(plan.source),
        "variant": variant.name,
        "recipe": dict(variant.recipe),
        "verified": verified,
        "versions": dict(plan.versions),
        "bits_per_weight": variant.bits_per_weight,
        "bytes": variant.nbytes,
        "layout": plan.layout.to_json(),
        "config_origins": [asdict(origin) for origin in plan.origins],
        "dropped": [asdict(drop) for drop in plan.drops],
        "unquantized": [asdict(item) for item in variant.unquantized],
        "files": [asdict(file) for file in files],
    }


def fingerprint(value: Any) -> str:
    """Return a sha256 of plain data, the same wherever and whenever it is computed."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def source_of(source: Repo) -> dict[str, str]:
    """Return repo and revision as the mark names them: of a local folder only its name, not its path."""
    name = Path(source.id).name if source.is_local else source.id
    return {"repo": name, "revision": source.revision}


def read_mark(folder: Path) -> Mapping[str, Any] | None:
    """Return the mark in `folder`, or None where there is none that can be read as hubbot's."""
    try:
        if (folder / MARK).stat().st_size > MAX_BYTES:
            return None
        return parse_mark((folder / MARK).read_bytes())
    except OSError:
        return None


def parse_mark(data: bytes) -> Mapping[str, Any] | None:
    """Return the mark that `data` holds, or None where it is not hubbot's."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("made_by") == "hubbot" else None


def same_origin(found: Mapping[str, Any], source: Repo, variant: str) -> bool:
    """Say whether a mark is of the same source, at any revision, and the same variant."""
    return found.get("variant") == variant and found.get("source", {}).get("repo") == source_of(source)["repo"]


def same_recipe(found: Mapping[str, Any], source: Repo, variant: str, versions: Mapping[str, str]) -> bool:
    """Say whether a mark is of the same source at the same revision, variant and versions."""
    return (
        same_origin(found, source, variant)
        and found["source"].get("revision") == source.revision
        and found.get("versions") == dict(versions)
    )
