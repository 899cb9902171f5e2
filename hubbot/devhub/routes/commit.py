"""The commit itself: NDJSON lines become operations, and the operations a commit or a pull request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import Visit, visit, visit_to_open, visit_to_write
from hubbot.devhub.accounts import may_write
from hubbot.devhub.allowed_names import file_path, sha256_name
from hubbot.devhub.blobs import Blobs
from hubbot.devhub.bodies import read_lines
from hubbot.devhub.commits import DeleteFile, DeleteFolder, Operation, Put
from hubbot.devhub.paging import switched_on
from hubbot.devhub.proposals import find_proposal, open_proposal
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import Commit, Entry
from hubbot.devhub.wire_errors import bad_request, forbidden, revision_not_found


@dataclass(slots=True)
class _Draft:
    """What the lines of one commit ask for."""

    title: str = ""
    message: str = ""
    parent: str | None = None
    operations: list[Operation] = field(default_factory=list)


async def commit(request: Request) -> JSONResponse:
    """POST .../commit/{rev}."""
    found, ref, head = visit_to_commit(request)
    draft = await _read_draft(read_lines(request), found.hub.blobs)
    author, url = found.author(), f"{found.hub.base_url}/{found.address.url_path}"
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    with found.hub.lock:
        if switched_on(request, "create_pr"):
            proposal = open_proposal(found, title=draft.title, text=draft.message, start=head.sha, author=author)
            ref = f"refs/pr/{proposal['num']}"
            answer["pullRequestUrl"] = f"{url}/discussions/{proposal['num']}"
        made = found.hub.commit(
            found.repo,
            ref,
            draft.operations,
            expected=None if "pullRequestUrl" in answer else draft.parent,
            author=author,
            title=draft.title,
            message=draft.message,
        )
    return JSONResponse({**answer, "commitOid": made.sha, "commitUrl": f"{url}/commit/{made.sha}"})


def visit_to_commit(request: Request) -> tuple[Visit, str, Commit]:
    """Find the repo, the ref and its head that a commit is for; everybody may propose to a readable repo.

    Raises a 404 RevisionNotFound WireError if the revision is no branch and no pull request.
    """
    ref = request.path_params["revision"].removeprefix("refs/heads/")
    if switched_on(request, "create_pr"):
        found = visit_to_open(request)
        found.author()
    elif ref.startswith("refs/pr/"):
        found = _visit_proposal(request, ref)
    else:
        found = visit_to_write(request)
    if ref not in found.repo.branches and ref not in found.repo.pulls:
        raise revision_not_found(ref)
    return found, ref, found.commit(ref)


def _visit_proposal(request: Request, ref: str) -> Visit:
    found = visit(request)
    proposal = find_proposal(found, ref.removeprefix("refs/pr/"))
    if found.author() != proposal["author"] and not may_write(found.account, found.repo):
        raise forbidden("Only its author and the repo's owners may commit to a pull request")
    return found


async def _read_draft(lines: AsyncIterator[dict[str, Any]], blobs: Blobs) -> _Draft:
    draft = _Draft()
    async for line in lines:
        value = line.get("value")
        if not isinstance(value, dict):
            raise bad_request("A line of a commit needs a key and a value")
        if line.get("key") == "header":
            draft.title = str(value.get("summary") or "").strip()
            draft.message = str(value.get("description") or "")
            draft.parent = value.get("parentCommit")
        else:
            draft.operations.append(_operation(str(line.get("key")), value, blobs))
    if not draft.title:
        raise bad_request("A commit needs a header with a summary")
    return draft


def _operation(key: str, value: dict[str, Any], blobs: Blobs) -> Operation:
    path = value.get("path")
    match key:
        case "file":
            return Put(file_path(path), blobs.add_regular(_content(value)))
        case "lfsFile":
            return Put(file_path(path), _large(value, blobs))
        case "deletedFile":
            return DeleteFile(file_path(path))
        case "deletedFolder":
            return DeleteFolder(file_path(str(path).rstrip("/")))
    raise bad_request(f"Unknown operation {key!r}")


def _content(value: dict[str, Any]) -> bytes:
    content = value.get("content")
    if not isinstance(content, str):
        raise bad_request("A file needs content")
    if value.get("encoding") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise bad_request("The content is not base64") from error


def _large(value: dict[str, Any], blobs: Blobs) -> Entry:
    oid = sha256_name(value.get("oid"))
    entry = blobs.find_large(oid)
    # A copy comes without a size.
    if entry is None or value.get("size", entry.size) != entry.size:
        raise bad_request(f"LFS object {oid} was not uploaded, or has another size")
    return entry


routes = [Route(f"{REPO_API}/commit/{{revision:part}}", commit, methods=["POST"])]
