"""The files and folders of a revision: listings, and questions about single paths."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import Visit, visit
from hubbot.devhub.bodies import read_form
from hubbot.devhub.hubs import Hub
from hubbot.devhub.paging import page_of, switched_on
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import Commit, Entry
from hubbot.devhub.wire_errors import entry_not_found

_PAGE, _EXPANDED_PAGE = 1000, 50
_SAFE = {
    "status": "safe",
    "avScan": {"virusFound": False, "virusNames": None},
    "pickleImportScan": None,
}


async def list_tree(request: Request) -> JSONResponse:
    """GET .../tree/{rev}[/{path}]. Raises a 404 WireError."""
    found = visit(request)
    commit = found.commit(request.path_params["revision"])
    folder = request.path_params.get("path", "").strip("/")
    expand = switched_on(request, "expand")
    inside = _inside(commit.tree, folder)
    if folder and not inside:
        raise entry_not_found(folder, commit.sha)
    items = _listing(found.hub, commit.tree, folder, recursive=switched_on(request, "recursive"))
    if expand:
        _add_details(items, found, commit)
    most = _EXPANDED_PAGE if expand else _PAGE
    return page_of(request, items, base_url=found.hub.base_url, most=most)


async def paths_info(request: Request) -> JSONResponse:
    """POST .../paths-info/{rev}: unknown paths are left out."""
    form = await read_form(request)
    found = visit(request)
    commit = found.commit(request.path_params["revision"])
    items = []
    for path in (path.strip("/") for path in form.get("paths", [])):
        if path in commit.tree:
            items.append(_file(found.hub, path, commit.tree[path]))
        elif _inside(commit.tree, path):
            items.append(_folder(path, commit.tree))
    if form.get("expand", [""])[0].lower() in {"true", "1"}:
        _add_details(items, found, commit)
    return JSONResponse(items)


def _inside(tree: Mapping[str, Entry], folder: str) -> dict[str, Entry]:
    """Return the entries below a folder, the root being the empty string."""
    prefix = f"{folder}/" if folder else ""
    return {path: entry for path, entry in tree.items() if path.startswith(prefix)}


def _listing(hub: Hub, tree: Mapping[str, Entry], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = len(folder) + 1 if folder else 0
    files, folders = [], dict[str, None]()
    for path, entry in _inside(tree, folder).items():
        parts = path[prefix:].split("/")
        depths = range(1, len(parts)) if recursive else range(1, min(2, len(parts)))
        folders.update(dict.fromkeys(path[:prefix] + "/".join(parts[:depth]) for depth in depths))
        if recursive or len(parts) == 1:
            files.append(_file(hub, path, entry))
    return [_folder(path, tree) for path in sorted(folders)] + sorted(files, key=lambda file: file["path"])


def _file(hub: Hub, path: str, entry: Entry) -> dict[str, Any]:
    listed: dict[str, Any] = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
    if entry.sha256 is not None:
        listed["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
        listed["xetHash"] = hub.xet.hash_of(entry.sha256)
    return listed


def _folder(path: str, tree: Mapping[str, Entry]) -> dict[str, Any]:
    content = "\n".join(f"{name} {entry.etag}" for name, entry in sorted(_inside(tree, path).items()))
    oid = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def _add_details(items: list[dict[str, Any]], found: Visit, commit: Commit) -> None:
    last = _last_commits(found, commit)
    for item in items:
        name = item["path"]
        touching = [last[name]] if name in last else [last[path] for path in _inside(commit.tree, name)]
        _, newest = min(touching, key=lambda aged: aged[0])
        item["lastCommit"] = {"id": newest.sha, "title": newest.title, "date": newest.date}
        if item["type"] == "file":
            item["securityFileStatus"] = _SAFE


def _last_commits(found: Visit, commit: Commit) -> dict[str, tuple[int, Commit]]:
    """Return, for each path, the commit that gave it its present content, and how many came after."""
    last = dict.fromkeys(commit.tree, (0, commit))
    unchanged = set(commit.tree)
    for age, ancestor in enumerate(found.hub.repos.history(found.address, commit.sha)):
        unchanged = {path for path in unchanged if ancestor.tree.get(path) == commit.tree[path]}
        last.update(dict.fromkeys(unchanged, (age, ancestor)))
        if not unchanged:
            break
    return last


routes = [
    Route(f"{REPO_API}/tree/{{revision:part}}", list_tree),
    Route(f"{REPO_API}/tree/{{revision:part}}/{{path:rest}}", list_tree),
    Route(f"{REPO_API}/paths-info/{{revision:part}}", paths_info, methods=["POST"]),
]
