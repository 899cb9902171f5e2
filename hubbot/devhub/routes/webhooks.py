"""Webhooks as records: made, listed, changed, deleted. Nothing is delivered from here."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import hub_of, require_account
from hubbot.devhub.bodies import read_object
from hubbot.devhub.raw_path_routes import Route
from hubbot.devhub.stored_objects import short_id
from hubbot.devhub.wire_errors import bad_request, not_found

_ADDRESS = "/api/settings/webhooks"


async def list_webhooks(request: Request) -> JSONResponse:
    """GET /api/settings/webhooks: a bare array, unlike the others."""
    name = require_account(request).name
    return JSONResponse([_public(hook) for hook in hub_of(request).webhooks.every() if hook["owner"] == name])


async def create(request: Request) -> JSONResponse:
    """POST /api/settings/webhooks."""
    body = await read_object(request)
    owner = require_account(request).name
    hub = hub_of(request)
    with hub.lock:
        hook_id = short_id("webhook", owner, hub.timestamp(), str(len(hub.webhooks.every())))
        hook = {"id": hook_id, "owner": owner, "disabled": False, "secret": None, **_fields(body)}
        hub.webhooks.put(hook_id, hook)
    return JSONResponse({"webhook": _public(hook)})


async def read(request: Request) -> JSONResponse:
    """GET /api/settings/webhooks/{id}."""
    return JSONResponse({"webhook": _public(_find(request))})


async def change(request: Request) -> JSONResponse:
    """POST /api/settings/webhooks/{id}."""
    body = await read_object(request)
    hook = _find(request)
    # The client sends an empty list, or null, for what shall stay as it is.
    hook |= _fields({**hook, **{key: value for key, value in body.items() if value}})
    hub_of(request).webhooks.put(hook["id"], hook)
    return JSONResponse({"webhook": _public(hook)})


async def switch(request: Request) -> JSONResponse:
    """POST /api/settings/webhooks/{id}/{enable|disable}."""
    hook = _find(request)
    hook["disabled"] = request.scope["path"].endswith("/disable")
    hub_of(request).webhooks.put(hook["id"], hook)
    return JSONResponse({"webhook": _public(hook)})


async def delete(request: Request) -> JSONResponse:
    """DELETE /api/settings/webhooks/{id}."""
    hub_of(request).webhooks.drop(_find(request)["id"])
    return JSONResponse({})


def _find(request: Request) -> dict[str, Any]:
    hook = hub_of(request).webhooks.find(request.path_params["hook"])
    if hook is None or hook["owner"] != require_account(request).name:
        raise not_found("This webhook does not exist")
    return hook


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    watched, url = body.get("watched"), body.get("url")
    if not isinstance(url, str) or not isinstance(watched, list) or not watched:
        raise bad_request("A webhook needs a url and something to watch")
    if not all(isinstance(item, dict) and {"type", "name"} <= item.keys() for item in watched):
        raise bad_request("What is watched needs a type and a name")
    fields = {"url": url, "watched": watched, "domains": body.get("domains") or ["repo", "discussion"]}
    return fields | ({"secret": body["secret"]} if "secret" in body else {})


def _public(hook: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in hook.items() if key != "owner"}


routes = [
    Route(_ADDRESS, list_webhooks),
    Route(_ADDRESS, create, methods=["POST"]),
    Route(f"{_ADDRESS}/{{hook:part}}", read),
    Route(f"{_ADDRESS}/{{hook:part}}", change, methods=["POST"]),
    Route(f"{_ADDRESS}/{{hook:part}}", delete, methods=["DELETE"]),
    Route(f"{_ADDRESS}/{{hook:part}}/enable", switch, methods=["POST"]),
    Route(f"{_ADDRESS}/{{hook:part}}/disable", switch, methods=["POST"]),
]
