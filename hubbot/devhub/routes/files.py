"""Files on their way out: HEAD and GET of /resolve with ranges and the headers that the client caches by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from hubbot.devhub.access import Visit, visit_to_open
from hubbot.devhub.raw_path_routes import Route
from hubbot.devhub.stored_objects import Commit, Entry
from hubbot.devhub.wire_errors import entry_not_found

# What the Hub counts as a download of a model: requests for its config.
_COUNTED = "config.json"
_TEXTS = (".json", ".jsonl", ".md", ".txt", ".yaml", ".yml", ".jinja", ".csv", ".py", ".toml", "")
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


class _File(FileResponse):
    """A file sent in large steps, since weights are."""

    chunk_size = 1024 * 1024


async def resolve(request: Request) -> Response:
    """HEAD and GET /{id}/resolve/{rev}/{path}. Raises a 404 WireError."""
    found = visit_to_open(request)
    commit = found.commit(request.path_params["revision"])
    path = request.path_params["path"]
    entry = commit.tree.get(path)
    if entry is None:
        raise entry_not_found(path, commit.sha)
    if request.method == "GET" and path == _COUNTED:
        _count_download(found)
    headers = {
        "ETag": f'"{entry.etag}"',
        "X-Repo-Commit": commit.sha,
        "Accept-Ranges": "bytes",
        # Nobody's upload may run in the browser of somebody else.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "X-Content-Type-Options": "nosniff",
        **_linked(found, commit, entry),
    }
    return _File(found.hub.blobs.path_of(entry), headers=headers, media_type=_media_type(path))


def _linked(found: Visit, commit: Commit, entry: Entry) -> dict[str, str]:
    if entry.sha256 is None:
        return {}
    token = f"{found.hub.base_url}/api/{found.address.kind}/{found.address.id}/xet-read-token/{commit.sha}"
    return {
        "X-Linked-Etag": f'"{entry.sha256}"',
        "X-Linked-Size": str(entry.size),
        "X-Xet-Hash": found.hub.xet.hash_of(entry.sha256),
        "Link": f'<{token}>; rel="xet-auth"',
    }


def _media_type(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".svg":
        return "image/svg+xml"
    if suffix in _TEXTS:
        return "text/plain; charset=utf-8"
    return _IMAGES.get(suffix, "application/octet-stream")


def _count_download(found: Visit) -> None:
    with found.hub.lock:
        repo = found.hub.repos.find(found.address)
        if repo is not None:
            found.hub.repos.save(replace(repo, downloads=repo.downloads + 1))


_RESOLVE = "/{namespace:part}/{name:part}/resolve/{revision:part}/{path:rest}"

routes = [
    Route(f"/{{kind:kind}}{_RESOLVE}", resolve),
    Route(_RESOLVE, resolve),
]
