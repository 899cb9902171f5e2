"""Discussions and pull requests: open, list, read, comment, rename, close, merge."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import Visit, visit, visit_to_open, visit_to_write
from hubbot.devhub.accounts import may_write
from hubbot.devhub.bodies import read_object
from hubbot.devhub.paging import whole_number
from hubbot.devhub.proposals import (
    add_event,
    comment_data,
    every_proposal,
    find_proposal,
    open_discussion,
    open_proposal,
)
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import MAIN, Entry
from hubbot.devhub.wire_errors import WireError, bad_request, forbidden

_PAGE = 50


async def list_discussions(request: Request) -> JSONResponse:
    """GET .../discussions?p=&type=&status=&author=."""
    found, query = visit(request), request.query_params
    matching = [one for one in every_proposal(found) if _matches(one, dict(query))]
    start = whole_number(request, "p", 0) * _PAGE
    shown = [_summary(found, one) for one in matching[start : start + _PAGE]]
    return JSONResponse({"count": len(matching), "start": start, "discussions": shown})


async def create(request: Request) -> JSONResponse:
    """POST .../discussions. Raises a 400 WireError."""
    body = await read_object(request)
    found = visit_to_open(request)
    author, title = found.author(), str(body.get("title") or "").strip()
    if not title:
        raise bad_request("A discussion needs a title")
    text = str(body.get("description") or "")
    if body.get("pullRequest"):
        head = found.repo.branches[MAIN]
        record = open_proposal(found, title=title, text=text, start=head, author=author)
    else:
        record = open_discussion(found, title=title, text=text, author=author)
    return JSONResponse({"num": record["num"], "pullRequest": record["isPullRequest"]})


async def read(request: Request) -> JSONResponse:
    """GET .../discussions/{num}."""
    found, record = _find(request)
    changes = {"base": record["base"], "mergeCommitId": record["mergeCommitId"]}
    details = {"events": record["events"], "changes": changes, "filesWithConflicts": [], "diff": ""}
    return JSONResponse({**_summary(found, record), **details})


async def comment(request: Request) -> JSONResponse:
    """POST .../discussions/{num}/comment."""
    body = await read_object(request)
    found, record = _find(request)
    data = comment_data(str(body.get("comment") or ""))
    with found.hub.lock:
        return JSONResponse({"newMessage": add_event(found, record, "comment", found.author(), data)})


async def rename(request: Request) -> JSONResponse:
    """POST .../discussions/{num}/title."""
    body = await read_object(request)
    found, record = _find_to_change(request)
    data = {"from": record["title"], "to": str(body.get("title") or record["title"])}
    record["title"] = data["to"]
    with found.hub.lock:
        return JSONResponse({"newTitle": add_event(found, record, "title-change", found.author(), data)})


async def change_status(request: Request) -> JSONResponse:
    """POST .../discussions/{num}/status. Raises a 400 WireError."""
    body = await read_object(request)
    found, record = _find_to_change(request)
    if body.get("status") not in ("open", "closed"):
        raise bad_request("The status can be open or closed")
    record["status"] = body["status"]
    data = {"status": body["status"]}
    with found.hub.lock:
        return JSONResponse({"newStatus": add_event(found, record, "status-change", found.author(), data)})


async def merge(request: Request) -> JSONResponse:
    """POST .../discussions/{num}/merge: its files go onto the main branch in one commit.

    Raises a 400 WireError.
    """
    found, record = visit_to_write(request), _find(request)[1]
    if not record["isPullRequest"] or record["status"] == "merged":
        raise bad_request("Only an open pull request can be merged")
    hub = found.hub
    with hub.lock:
        repo = found.current()
        tree = _merged(found, repo.branches[MAIN], repo.pulls[f"refs/pr/{record['num']}"])
        title = f"{record['title']} (#{record['num']})"
        after = hub.append(repo, MAIN, tree=tree, author=found.author(), title=title, parent=repo.branches[MAIN])
        record |= {"status": "merged", "mergeCommitId": after.branches[MAIN]}
        add_event(found, record, "status-change", found.author(), {"status": "merged"})
    return JSONResponse({})


def _merged(found: Visit, ours: str, theirs: str) -> dict[str, Entry]:
    """Return the three-way merge; raises a 409 WireError if both sides changed a file differently."""
    repos, address = found.hub.repos, found.address
    ancestors = {commit.sha: commit for commit in repos.history(address, ours)}
    base = next((one.tree for one in repos.history(address, theirs) if one.sha in ancestors), {})
    mine, other = repos.commit(address, ours).tree, repos.commit(address, theirs).tree
    merged = dict(mine)
    for path in base.keys() | other.keys():
        if other.get(path) == base.get(path):
            continue
        if mine.get(path) not in (base.get(path), other.get(path)):
            raise WireError(409, f"Both sides changed {path}")
        merged.pop(path, None)
        merged.update({path: other[path]} if path in other else {})
    return merged


def _find(request: Request) -> tuple[Visit, dict[str, Any]]:
    found = visit(request)
    return found, find_proposal(found, str(request.path_params["number"]))


def _find_to_change(request: Request) -> tuple[Visit, dict[str, Any]]:
    found, record = _find(request)
    if found.author() != record["author"] and not may_write(found.account, found.repo):
        raise forbidden("Only its author and the repo's owners may change a discussion")
    return found, record


def _matches(record: dict[str, Any], query: dict[str, str]) -> bool:
    kind = "pull_request" if record["isPullRequest"] else "discussion"
    status = "open" if record["status"] in ("open", "draft") else "closed"
    return (
        query.get("type", "all") in ("all", kind)
        and query.get("status", "all") in ("all", status)
        and query.get("author", record["author"]) == record["author"]
    )


def _summary(found: Visit, record: dict[str, Any]) -> dict[str, Any]:
    kept = ("num", "title", "createdAt", "status", "isPullRequest")
    return {
        **{key: record[key] for key in kept},
        "author": {"name": record["author"]},
        "repo": {"name": found.address.id, "type": found.address.type},
    }


_ALL = f"{REPO_API}/discussions"
_ONE = f"{_ALL}/{{number:int}}"

routes = [
    Route(_ALL, list_discussions),
    Route(_ALL, create, methods=["POST"]),
    Route(_ONE, read),
    Route(f"{_ONE}/comment", comment, methods=["POST"]),
    Route(f"{_ONE}/title", rename, methods=["POST"]),
    Route(f"{_ONE}/status", change_status, methods=["POST"]),
    Route(f"{_ONE}/merge", merge, methods=["POST"]),
]
