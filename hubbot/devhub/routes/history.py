"""The commits behind a revision, and squashing them into one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import visit, visit_to_write
from hubbot.devhub.bodies import read_object
from hubbot.devhub.paging import page_of
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.wire_errors import revision_not_found

_PAGE = 50


async def list_commits(request: Request) -> JSONResponse:
    """GET .../commits/{rev}."""
    found = visit(request)
    newest = found.commit(request.path_params["revision"])
    items = [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in found.hub.repos.history(found.address, newest.sha)
    ]
    return page_of(request, items, base_url=found.hub.base_url, most=_PAGE)


async def super_squash(request: Request) -> JSONResponse:
    """POST .../super-squash/{branch}: one commit without a parent takes the place of all.

    Raises a 404 WireError.
    """
    body = await read_object(request)
    found = visit_to_write(request)
    branch = request.path_params["branch"]
    hub = found.hub
    with hub.lock:
        repo = found.current()
        if branch not in repo.branches:
            raise revision_not_found(branch)
        tree = hub.repos.commit(found.address, repo.branches[branch]).tree
        title = str(body.get("message") or f"Super-squash branch '{branch}' using huggingface_hub")
        hub.append(repo, branch, tree=tree, author=found.author(), title=title, parent=None)
    return JSONResponse({})


routes = [
    Route(f"{REPO_API}/commits/{{revision:part}}", list_commits),
    Route(f"{REPO_API}/super-squash/{{branch:part}}", super_squash, methods=["POST"]),
]
