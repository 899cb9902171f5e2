"""Repos as a whole: create, delete, move, settings, and the check of a card's metadata."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import hub_of, require_account, require_owned, require_owner, visit_to_write
from hubbot.devhub.allowed_names import repo_address
from hubbot.devhub.bodies import read_object
from hubbot.devhub.cards import faults_of
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import Address
from hubbot.devhub.wire_errors import WireError, bad_request


async def create(request: Request) -> JSONResponse:
    """POST /api/repos/create."""
    body = await read_object(request)
    account = require_account(request)
    address = _address(body, body.get("organization") or account.name, body.get("name"))
    require_owner(request, address.namespace)
    hub = hub_of(request)
    repo = hub.create_repo(address, author=account.name, private=_privacy(body, otherwise=False))
    url = f"{hub.base_url}/{address.url_path}"
    return JSONResponse({"url": url, "name": address.id, "id": repo.oid, "private": repo.private})


async def delete(request: Request) -> JSONResponse:
    """DELETE /api/repos/delete."""
    body = await read_object(request)
    account = require_account(request)
    address = _address(body, body.get("organization") or account.name, body.get("name"))
    hub = hub_of(request)
    with hub.lock:
        hub.repos.remove(require_owned(request, address).address)
    return JSONResponse({})


async def move(request: Request) -> JSONResponse:
    """POST /api/repos/move. Raises a 409 WireError."""
    body = await read_object(request)
    source, target = (_split(body, body.get(key)) for key in ("fromRepo", "toRepo"))
    hub = hub_of(request)
    require_owner(request, target.namespace)
    with hub.lock:
        repo = require_owned(request, source)
        if hub.repos.find(target) is not None:
            raise WireError(409, f"{target.id} exists already")
        hub.repos.move(repo, target)
    return JSONResponse({})


async def change_settings(request: Request) -> JSONResponse:
    """PUT .../settings. Raises a 400 WireError."""
    body = await read_object(request)
    found = visit_to_write(request)
    gated = body.get("gated", found.repo.gated or False)
    if gated not in ("auto", "manual", False):
        raise bad_request("gated must be 'auto', 'manual' or false")
    with found.hub.lock:
        current = found.current()
        private = _privacy(body, otherwise=current.private)
        found.hub.repos.save(replace(current, gated=gated or None, private=private))
    return JSONResponse({"gated": gated, "private": private})


async def validate_card(request: Request) -> JSONResponse:
    """POST /api/validate-yaml: always JSON, 400 where something is wrong."""
    body = await read_object(request)
    faults = faults_of(str(body.get("content", "")))
    found = {"errors": [{"message": fault} for fault in faults], "warnings": []}
    return JSONResponse(found, 400 if faults else 200)


def _address(body: dict[str, Any], namespace: Any, name: Any) -> Address:
    kind = str(body.get("type") or "model") + "s"
    return repo_address(kind, str(namespace), str(name))


def _split(body: dict[str, Any], name: Any) -> Address:
    namespace, _, rest = str(name).partition("/")
    return _address(body, namespace, rest)


def _privacy(body: dict[str, Any], *, otherwise: bool) -> bool:
    visibility = body.get("visibility")
    if visibility is None:
        return bool(body.get("private", otherwise))
    if visibility not in ("public", "private"):
        raise bad_request(f"Visibility {visibility!r} is not offered here")
    return bool(visibility == "private")


routes = [
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", delete, methods=["DELETE"]),
    Route("/api/repos/move", move, methods=["POST"]),
    Route("/api/validate-yaml", validate_card, methods=["POST"]),
    Route(f"{REPO_API}/settings", change_settings, methods=["PUT"]),
]
