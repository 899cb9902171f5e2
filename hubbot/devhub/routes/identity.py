"""Who is who: whoami, access checks, overviews of users and organisations."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import (
    account_of,
    hub_of,
    require_account,
    visit_to_open,
    visit_to_write,
)
from hubbot.devhub.accounts import Account
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.wire_errors import not_found


async def whoami(request: Request) -> JSONResponse:
    """GET /api/whoami-v2."""
    account = require_account(request)
    orgs = [{"type": "org", "id": org, "name": org, "fullname": org, "roleInOrg": "write"} for org in account.orgs]
    token = {"displayName": "devhub", "role": "write", "createdAt": "2026-01-01T00:00:00.000Z"}
    return JSONResponse(
        {
            **_names(account.name),
            "email": f"{account.name}@localhost",
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


async def check_access(request: Request) -> JSONResponse:
    """GET .../auth-check[/write]: 200 if the visitor may."""
    check = visit_to_write if request.scope["path"].endswith("/write") else visit_to_open
    check(request)
    return JSONResponse({})


async def user_overview(request: Request) -> JSONResponse:
    """GET /api/users/{user}/overview. Raises a 404 WireError."""
    for account in hub_of(request).accounts.values():
        if account.name == request.path_params["user"]:
            orgs = [{"id": org, "name": org, "fullname": org, "avatarUrl": ""} for org in account.orgs]
            counts = _counts(request, account.name)
            return JSONResponse({**_names(account.name), "user": account.name, **counts, "orgs": orgs})
    raise not_found("This user does not exist")


async def organization_overview(request: Request) -> JSONResponse:
    """GET /api/organizations/{org}/overview."""
    org = request.path_params["org"]
    members = _members(request, org)
    return JSONResponse({**_names(org), "type": "org", **_counts(request, org), "numUsers": len(members)})


async def organization_members(request: Request) -> JSONResponse:
    """GET /api/organizations/{org}/members."""
    names = [account.name for account in _members(request, request.path_params["org"])]
    return JSONResponse([{**_names(name), "user": name} for name in names])


def _members(request: Request, org: str) -> list[Account]:
    members = [account for account in hub_of(request).accounts.values() if org in account.orgs]
    if not members:
        raise not_found("This organization does not exist")
    return members


def _names(name: str) -> dict[str, Any]:
    return {"type": "user", "id": name, "name": name, "fullname": name, "avatarUrl": ""}


def _counts(request: Request, namespace: str) -> dict[str, int]:
    account, hub = account_of(request), hub_of(request)
    owns = account is not None and account.owns(namespace)
    models = [repo for repo in hub.repos.every("models") if repo.address.namespace == namespace]
    return {"numModels": sum(owns or not repo.private for repo in models)}


routes = [
    Route("/api/whoami-v2", whoami),
    Route(f"{REPO_API}/auth-check", check_access),
    Route(f"{REPO_API}/auth-check/write", check_access),
    Route("/api/users/{user:part}/overview", user_overview),
    Route("/api/organizations/{org:part}/overview", organization_overview),
    Route("/api/organizations/{org:part}/members", organization_members),
]
