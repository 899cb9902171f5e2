"""hubbot.json: the mark that hubbot leaves in every repo it makes, and everything needed to make it again.

It is a function of source, recipe and versions alone: no dates, no timings, no paths of a machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubbot import plain_json
from hubbot.checkpoints import FileInfo, Repo
from hubbot.plans import Plan, PlannedVariant, in_words

MARK = "hubbot.json"
# 1 called the rows of the layout catalogue by letters; it is read as if it were 2.
FORMAT = 2
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
        **({"sees": True} if plan.sees else {}),
        **({"text_only": plan.text_only} if plan.text_only else {}),
        "unquantized": [asdict(item) for item in variant.unquantized],
        **({"source_codes": plan.source_codes(variant)} if plan.packed else {}),
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files],
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
    """Return the mark that `data` holds, in this version's format; None where it is not hubbot's."""
    try:
        found = plain_json.loads(data)
    except ValueError:
        return None
    return _in_this_format(found) if isinstance(found, dict) and _is_mark(found) else None


def _in_this_format(found: dict[str, Any]) -> Mapping[str, Any]:
    layout = found.get("layout")
    if found.get("format") != 1 or not isinstance(layout, dict):
        return found
    return {**found, "format": FORMAT, "layout": in_words(layout)}


def _is_mark(found: Mapping[str, Any]) -> bool:
    # A mark may come from anybody's repo: nothing in it is used before its shape is known.
    source = found.get("source")
    return (
        found.get("made_by") == "hubbot"
        and isinstance(source, dict)
        and all(isinstance(source.get(key), str) for key in ("repo", "revision"))
        and isinstance(found.get("variant"), str)
    )


def recorded(found: Mapping[str, Any]) -> tuple[FileInfo, ...]:
    """Return the files that a mark records with their sha256; none where it does not list them as hubbot does."""
    files = found.get("files")
    if not isinstance(files, list) or not all(_is_file(file) for file in files):
        return ()
    return tuple(FileInfo(**file) for file in files)


def measure(found: Mapping[str, Any], key: str) -> float:
    """Return a number that a mark records, or zero where it holds none."""
    value = found.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _is_file(file: Any) -> bool:
    return (
        isinstance(file, dict)
        and set(file) == {"path", "size", "sha256"}
        and isinstance(file["path"], str)
        and isinstance(file["size"], int)
        and isinstance(file["sha256"], str)
    )


def same_origin(found: Mapping[str, Any], source: Repo, variant: str) -> bool:
    """Say whether a mark names the same source and variant; a Hub repo may be at any revision, a folder may not.

    For a folder the revision counts too, because two folders of one name may hold two models.
    """
    named, marked = source_of(source), found.get("source")
    if not isinstance(marked, Mapping) or found.get("variant") != variant:
        return False
    return marked.get("repo") == named["repo"] and (not source.is_local or marked == named)
