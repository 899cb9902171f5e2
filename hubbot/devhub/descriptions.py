"""The JSON that the API gives for a repo, and which keys of it each kind of request gets.

Knows the wire's key names. Never decides who may see a repo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hubbot.devhub.metadata import Metadata
from hubbot.devhub.stored_objects import Commit, Entry, Repo

_LISTED = (
    *("modelId", "author", "likes", "trendingScore", "private", "downloads", "gated"),
    *("tags", "pipeline_tag", "library_name", "createdAt", "lastModified"),
)
_FULL = ("sha", "siblings", "disabled")
_INFO = (
    *_LISTED,
    *_FULL,
    *("cardData", "config", "safetensors", "usedStorage", "model-index", "transformersInfo", "spaces"),
)
_EXPANDABLE = frozenset(
    {*_INFO, "baseModels", "childrenModelCount", "downloadsAllTime", "evalResults", "gguf", "inference"}
    | {"inferenceProviderMapping", "mask_token", "resourceGroup", "widgetData"}
    | {"citation", "description", "paperswithcode_id", "sdk", "runtime", "subdomain", "datasets", "models"}
)


def describe(repo: Repo, head: Commit, found: Metadata, *, blobs: bool = False) -> dict[str, Any]:
    """Return all that is known about a repo at a commit under the wire's names."""
    about = {
        **_settings(repo),
        "sha": head.sha,
        "lastModified": head.date,
        "tags": list(found.tags),
        "siblings": [sibling(path, entry, detailed=blobs) for path, entry in head.tree.items()],
        "usedStorage": sum(entry.size for entry in head.tree.values()),
        "cardData": found.card.data or None,
        "spaces": [],
        "model-index": found.card.data.get("model-index"),
        **_model(found),
    }
    return {key: value for key, value in about.items() if value is not None}


def select_info(about: Mapping[str, Any], expand: Iterable[str]) -> dict[str, Any]:
    """Return what a request for one repo gets: everything, or the id and what it asked for."""
    return _only(about, tuple(expand) or _INFO)


def select_listed(
    about: Mapping[str, Any], expand: Iterable[str], *, full: bool, config: bool, card: bool
) -> dict[str, Any]:
    """Return what a listing gets of one repo."""
    asked = tuple(expand)
    if asked:
        return _only(about, asked)
    keys = _LISTED + (_FULL if full else ())
    keys += ("config",) if config else ()
    keys += ("cardData",) if card else ()
    return _only(about, keys)


def unknown_expansions(expand: Iterable[str]) -> list[str]:
    """Return the `expand` values that the Hub does not know."""
    return [key for key in expand if key not in _EXPANDABLE]


def sibling(path: str, entry: Entry, *, detailed: bool) -> dict[str, Any]:
    """Return a file as model_info lists it."""
    if not detailed:
        return {"rfilename": path}
    listed = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
    if entry.sha256 is None:
        return listed
    return {
        **listed,
        "lfs": {"size": entry.size, "sha256": entry.sha256, "pointerSize": entry.pointer_size},
    }


def _settings(repo: Repo) -> dict[str, Any]:
    return {
        "_id": repo.oid,
        "id": repo.address.id,
        "modelId": repo.address.id if repo.address.kind == "models" else None,
        "author": repo.address.namespace,
        "createdAt": repo.created_at,
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": repo.downloads,
        "downloadsAllTime": repo.downloads,
        "likes": len(repo.likers),
        "trendingScore": 0,
    }


def _model(found: Metadata) -> dict[str, Any]:
    counts = found.parameters
    bases = [{"_id": "", "id": name} for name in found.base_models]
    return {
        "pipeline_tag": found.pipeline_tag,
        "library_name": found.library_name,
        "config": found.config,
        "transformersInfo": _transformers_info(found),
        "safetensors": counts and {"parameters": counts, "total": sum(counts.values())},
        "baseModels": {"relation": found.base_relation or "finetune", "models": bases} if bases else None,
    }


def _transformers_info(found: Metadata) -> dict[str, str] | None:
    if found.library_name != "transformers" or found.pipeline_tag != "text-generation":
        return None
    return {"auto_model": "AutoModelForCausalLM", "pipeline_tag": "text-generation", "processor": "AutoTokenizer"}


def _only(about: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: about[key] for key in ("_id", "id", *keys) if key in about}
