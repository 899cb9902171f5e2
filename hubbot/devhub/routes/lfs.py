"""Large files on their way in: the LFS batch, single and multipart uploads, the check afterwards."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubbot.devhub.access import Visit, hub_of, visit_to_transfer
from hubbot.devhub.allowed_names import sha256_name
from hubbot.devhub.bodies import read_object
from hubbot.devhub.hubs import Hub
from hubbot.devhub.raw_path_routes import Route
from hubbot.devhub.wire_errors import WireError, bad_request, not_found

_TYPE = "application/vnd.git-lfs+json"
_PART = 16 * 1024 * 1024
_MOST_PARTS = 10_000
_MOST_OBJECTS = 1000


async def batch(request: Request) -> JSONResponse:
    """POST /{id}.git/info/lfs/objects/batch. Raises a 400 WireError."""
    body = await read_object(request)
    found = visit_to_transfer(request)
    objects = body.get("objects")
    if not isinstance(objects, list) or len(objects) > _MOST_OBJECTS:
        raise bad_request("objects must be an array of at most 1000")
    if body.get("operation") != "upload":
        raise bad_request("Only uploads go through LFS; downloads go through /resolve")
    multipart = "multipart" in body.get("transfers", ["basic"])
    answers = [_upload(found, item, multipart=multipart) for item in objects]
    chunked = any("chunk_size" in one.get("actions", {}).get("upload", {}).get("header", {}) for one in answers)
    transfer = "multipart" if chunked else "basic"
    return JSONResponse({"transfer": transfer, "objects": answers}, media_type=_TYPE)


async def put_object(request: Request) -> Response:
    """PUT a whole file at its presigned address."""
    hub, oid, size = _presigned(request)
    entry = await hub.blobs.receive(request.stream(), sha256=oid, size=size)
    return Response(headers={"ETag": f'"{entry.etag}"'})


async def put_part(request: Request) -> Response:
    """PUT one part of a file at its presigned address."""
    hub, oid, size = _presigned(request)
    part, chunk = request.path_params["part"], _part_size(size)
    limit = min(chunk, size - (part - 1) * chunk)
    etag = await hub.blobs.receive_part(request.stream(), sha256=oid, part=part, limit=limit)
    return Response(headers={"ETag": f'"{etag}"'})


async def complete(request: Request) -> JSONResponse:
    """POST the list of parts, after which they become the object. Raises a 400 WireError."""
    body = await read_object(request)
    hub, oid, size = _presigned(request)
    parts = body.get("parts")
    expected = _part_count(size)
    if not isinstance(parts, list) or len(parts) != expected:
        raise bad_request(f"{expected} parts were expected")
    if hub.blobs.find_large(oid) is None:
        # Hashing gigabytes must not stop the Hub from answering others.
        await to_thread.run_sync(hub.blobs.join_parts, oid, size, expected)
    return JSONResponse({"success": True})


async def verify(request: Request) -> JSONResponse:
    """POST the oid and size of an upload to learn whether it arrived. Raises a 404 WireError."""
    body = await read_object(request)
    found = visit_to_transfer(request)
    entry = found.hub.blobs.find_large(sha256_name(body.get("oid")))
    if entry is None or entry.size != body.get("size"):
        raise not_found("The object is not here, or has another size")
    return JSONResponse({})


def _upload(found: Visit, item: Any, *, multipart: bool) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("size"), int) or item["size"] < 1:
        raise bad_request("An object needs an oid and a size")
    oid, size = sha256_name(item.get("oid")), item["size"]
    answer = {"oid": oid, "size": size}
    present = found.hub.blobs.find_large(oid)
    if present is not None and present.size == size:
        return answer
    if size > _PART * _MOST_PARTS:
        return {**answer, "error": {"code": 422, "message": "The file is too large"}}
    hub = found.hub
    chunked = multipart and size > _PART
    upload = _multipart_action(hub, oid, size) if chunked else {"href": _href(hub, f"/lfs/{oid}/{size}")}
    verify_href = f"{hub.base_url}/{found.address.url_path}.git/info/lfs/objects/verify"
    return {**answer, "authenticated": True, "actions": {"upload": upload, "verify": {"href": verify_href}}}


def _multipart_action(hub: Hub, oid: str, size: int) -> dict[str, Any]:
    numbers = range(1, _part_count(size) + 1)
    parts = {str(number): _href(hub, f"/lfs/{oid}/{size}/{number}") for number in numbers}
    header = {"chunk_size": str(_part_size(size)), **parts}
    return {"href": _href(hub, f"/lfs/{oid}/{size}/complete"), "header": header}


def _part_size(size: int) -> int:
    # Fewer than a thousand parts, so that the answer stays small for files of hundreds of gigabytes.
    return _PART * max(1, -(-size // (_PART * 900)))


def _part_count(size: int) -> int:
    return -(-size // _part_size(size))


def _href(hub: Hub, path: str) -> str:
    return f"{hub.base_url}{path}?{hub.signer.query(path)}"


def _presigned(request: Request) -> tuple[Hub, str, int]:
    hub, query = hub_of(request), request.query_params
    expires, signature = query.get("expires", ""), query.get("signature", "")
    if not hub.signer.accepts(request.scope["path"], expires=expires, signature=signature):
        raise WireError(403, "The upload address is not valid, or has expired")
    return hub, request.path_params["oid"], request.path_params["size"]


_REPO = "/{namespace:part}/{name:part}.git/info/lfs/objects"

routes = [
    Route("/lfs/{oid:part}/{size:int}", put_object, methods=["PUT"]),
    Route("/lfs/{oid:part}/{size:int}/{part:int}", put_part, methods=["PUT"]),
    Route("/lfs/{oid:part}/{size:int}/complete", complete, methods=["POST"]),
    Route(f"{_REPO}/batch", batch, methods=["POST"]),
    Route(f"/{{kind:kind}}{_REPO}/batch", batch, methods=["POST"]),
    Route(f"{_REPO}/verify", verify, methods=["POST"]),
    Route(f"/{{kind:kind}}{_REPO}/verify", verify, methods=["POST"]),
]
