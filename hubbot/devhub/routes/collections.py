"""Collections: named lists of repos, with their items."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import account_of, hub_of, require_account, require_owner
from hubbot.devhub.accounts import may_see
from hubbot.devhub.allowed_names import is_repo_name
from hubbot.devhub.bodies import read_object
from hubbot.devhub.paging import page_of
from hubbot.devhub.raw_path_routes import Route
from hubbot.devhub.stored_objects import Address, short_id
from hubbot.devhub.wire_errors import WireError, bad_request, not_found

Record = dict[str, Any]

_PAGE = 100
_REPO_TYPES = ("model", "dataset", "space")


async def list_collections(request: Request) -> JSONResponse:
    """GET /api/collections?owner=&item=&limit=."""
    hub, query = hub_of(request), request.query_params
    owner, item = query.get("owner"), query.get("item", "").rpartition("s/")[2]
    shown = [
        {key: value for key, value in _public(request, record).items() if key != "position"}
        for record in hub.collections.every()
        if _may_read(request, record)
        and owner in (None, record["owner"])
        and (not item or item in {one["id"] for one in record["items"]})
    ]
    ordered = sorted(shown, key=lambda one: str(one["lastUpdated"]), reverse=True)
    return page_of(request, ordered, base_url=hub.base_url, most=_PAGE)


async def create(request: Request) -> JSONResponse:
    """POST /api/collections; a 409 names the slug of the one that has this title.

    Raises a 400 or 409 WireError.
    """
    body = await read_object(request)
    account, hub = require_account(request), hub_of(request)
    owner, title = str(body.get("namespace") or account.name), str(body.get("title") or "").strip()
    require_owner(request, owner)
    if not title:
        raise bad_request("A collection needs a title")
    with hub.lock:
        for record in hub.collections.every():
            if (record["owner"], record["title"]) == (owner, title):
                raise WireError(409, "This collection already exists", body={"slug": _slug(record)})
        record = {
            "id": short_id("collection", owner, title, hub.timestamp()),
            "owner": owner,
            "title": title,
            "description": str(body.get("description") or ""),
            "private": bool(body.get("private", False)),
            "theme": "blue",
            "position": 0,
            "items": [],
        }
        return _saved(request, record)


async def read(request: Request) -> JSONResponse:
    """GET /api/collections/{slug}."""
    return JSONResponse(show_collection(request))


async def change(request: Request) -> JSONResponse:
    """PATCH /api/collections/{slug}; the answer is wrapped, unlike the others."""
    body = await read_object(request)
    record = _find_to_change(request)
    kinds = {"title": str, "description": str, "private": bool, "theme": str, "position": int}
    record |= {key: body[key] for key, kind in kinds.items() if isinstance(body.get(key), kind)}
    _saved(request, record)
    return JSONResponse({"success": True, "data": _public(request, record)})


async def delete(request: Request) -> JSONResponse:
    """DELETE /api/collections/{slug}."""
    hub_of(request).collections.drop(_find_to_change(request)["id"])
    return JSONResponse({})


async def add_item(request: Request) -> JSONResponse:
    """POST /api/collections/{slug}/items. Raises a 400 or 409 WireError."""
    body = await read_object(request)
    item, note, hub = body.get("item"), body.get("note"), hub_of(request)
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise bad_request("An item needs an id and a type")
    with hub.lock:
        record = _find_to_change(request)
        if any((one["id"], one["type"]) == (item["id"], item.get("type")) for one in record["items"]):
            raise WireError(409, "This item is in the collection already")
        _require_visible(request, item)
        record["items"].append(
            {
                "_id": short_id(record["id"], item["id"], str(item["type"])),
                "id": item["id"],
                "type": item["type"],
                **({"note": {"text": str(note)}} if note else {}),
            }
        )
        return _saved(request, record)


async def change_item(request: Request) -> JSONResponse:
    """PATCH /api/collections/{slug}/items/{item}: its note and its place."""
    body = await read_object(request)
    hub = hub_of(request)
    with hub.lock:
        record = _find_to_change(request)
        item = _item(record, request.path_params["item"])
        if "note" in body:
            item["note"] = {"text": str(body["note"])}
        if isinstance(body.get("position"), int):
            record["items"].remove(item)
            record["items"].insert(max(0, body["position"]), item)
        return _saved(request, record)


async def delete_item(request: Request) -> JSONResponse:
    """DELETE /api/collections/{slug}/items/{item}."""
    hub = hub_of(request)
    with hub.lock:
        record = _find_to_change(request)
        record["items"].remove(_item(record, request.path_params["item"]))
        return _saved(request, record)


def show_collection(request: Request) -> Record:
    """Return what the visitor may see of the collection that the path names; raises a 404 WireError."""
    return _public(request, _find(request))


def _find(request: Request) -> Record:
    # The title in the slug may be an old one; the id at its end decides.
    key = request.path_params["slug"].rpartition("-")[2]
    record = hub_of(request).collections.find(key)
    if record is None or not _may_read(request, record):
        raise not_found("This collection does not exist")
    return record


def _find_to_change(request: Request) -> Record:
    record = _find(request)
    require_owner(request, record["owner"])
    return record


def _may_read(request: Request, record: Record) -> bool:
    account = account_of(request)
    return not record["private"] or (account is not None and account.owns(record["owner"]))


def _require_visible(request: Request, item: Record) -> None:
    if item.get("type") not in _REPO_TYPES:
        raise bad_request("Only models, datasets and spaces can be collected here")
    if not _is_visible(request, item):
        raise not_found(f"There is no {item['type']} {item['id']}")


def _is_visible(request: Request, item: Record) -> bool:
    namespace, _, name = item["id"].partition("/")
    if not (is_repo_name(namespace) and is_repo_name(name)):
        return False
    repo = hub_of(request).repos.find(Address(f"{item['type']}s", namespace, name))
    return repo is not None and may_see(account_of(request), repo)


def _item(record: Record, item_id: str) -> Record:
    found: list[Record] = [item for item in record["items"] if item["_id"] == item_id]
    if not found:
        raise not_found("This item is not in the collection")
    return found[0]


def _saved(request: Request, record: Record) -> JSONResponse:
    hub = hub_of(request)
    record["lastUpdated"] = hub.timestamp()
    hub.collections.put(record["id"], record)
    return JSONResponse(_public(request, record))


def _public(request: Request, record: Record) -> Record:
    hub = hub_of(request)
    items = [
        {**item, "position": position}
        for position, item in enumerate(record["items"])
        if _is_visible(request, item)
    ]
    fields = ("title", "description", "private", "theme", "position", "lastUpdated")
    return {
        **{key: record[key] for key in fields},
        "slug": _slug(record),
        "url": f"{hub.base_url}/collections/{_slug(record)}",
        "owner": record["owner"],
        "upvotes": 0,
        "items": items,
    }


def _slug(record: Record) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", record["title"].lower()).strip("-")
    return f"{record['owner']}/{words}-{record['id']}"


_ALL = "/api/collections"
_ITEMS = f"{_ALL}/{{owner:part}}/{{slug:part}}/items"
_ONE = f"{_ALL}/{{owner:part}}/{{slug:part}}"

routes = [
    Route(_ALL, list_collections),
    Route(_ALL, create, methods=["POST"]),
    Route(_ONE, read),
    Route(_ONE, change, methods=["PATCH"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(_ITEMS, add_item, methods=["POST"]),
    Route(f"{_ITEMS}/{{item:part}}", change_item, methods=["PATCH"]),
    Route(f"{_ITEMS}/{{item:part}}", delete_item, methods=["DELETE"]),
]
