"""Before a commit: which files go to LFS, and what the branch has under their paths already."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.allowed_names import file_path, is_large
from hubbot.devhub.bodies import read_object
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.routes.commit import visit_to_commit
from hubbot.devhub.stored_objects import Commit
from hubbot.devhub.wire_errors import bad_request


async def preupload(request: Request) -> JSONResponse:
    """POST .../preupload/{rev}. Raises a 400 WireError."""
    body = await read_object(request)
    _found, _ref, head = visit_to_commit(request)
    files = body.get("files")
    if not isinstance(files, list):
        raise bad_request("files must be an array")
    return JSONResponse({"files": [_advice(file, head) for file in files], "commitOid": head.sha})


def _advice(file: Any, head: Commit) -> dict[str, Any]:
    if not isinstance(file, dict) or not isinstance(file.get("size"), int):
        raise bad_request("A file needs a path and a size")
    path = file_path(file.get("path"))
    mode = "lfs" if is_large(path, file["size"]) else "regular"
    advice = {"path": path, "uploadMode": mode, "shouldIgnore": False}
    if path in head.tree:
        # The client compares it with its own hash and leaves an unchanged file out of the commit.
        advice["oid"] = head.tree[path].etag
    return advice


routes = [Route(f"{REPO_API}/preupload/{{revision:part}}", preupload, methods=["POST"])]
