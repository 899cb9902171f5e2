"""Likes: give, take back, list."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import account_of, hub_of, require_account, visit
from hubbot.devhub.accounts import may_see
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import KINDS


async def like(request: Request) -> JSONResponse:
    """POST and DELETE .../like."""
    found = visit(request)
    name = require_account(request).name
    with found.hub.lock:
        repo = found.current()
        others = tuple(liker for liker in repo.likers if liker != name)
        likers = (*others, name) if request.method == "POST" else others
        found.hub.repos.save(replace(repo, likers=likers))
    return JSONResponse({})


async def list_likers(request: Request) -> JSONResponse:
    """GET .../likers."""
    likers = visit(request).repo.likers
    return JSONResponse([{"user": name, "fullname": name, "avatarUrl": ""} for name in likers])


async def list_liked(request: Request) -> JSONResponse:
    """GET /api/users/{user}/likes."""
    hub, account = hub_of(request), account_of(request)
    liked = [
        {"createdAt": repo.created_at, "repo": {"name": repo.address.id, "type": repo.address.type}}
        for kind in KINDS
        for repo in hub.repos.every(kind)
        if request.path_params["user"] in repo.likers and may_see(account, repo)
    ]
    return JSONResponse(liked)


routes = [
    Route(f"{REPO_API}/like", like, methods=["POST", "DELETE"]),
    Route(f"{REPO_API}/likers", list_likers),
    Route("/api/users/{user:part}/likes", list_liked),
]
