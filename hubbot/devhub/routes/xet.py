"""Large files over xet: tokens from the Hub, then xorbs, shards and reconstructions as its storage speaks them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from hubbot.devhub.access import Visit, hub_of, visit_to_open, visit_to_transfer
from hubbot.devhub.allowed_names import sha256_name, xet_hash_name
from hubbot.devhub.hubs import Hub
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import Entry
from hubbot.devhub.wire_errors import WireError, forbidden, not_found, unauthorized
from hubbot.devhub.xet_blocks import (
    block_hash,
    describe_part,
    offset_into_first,
    parts_of,
    read_sent,
    sent_size,
)
from hubbot.devhub.xet_shards import Shard
from hubbot.devhub.xet_tokens import XetRight, make_token, read_token

_STORAGE = "/api/xet"
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
# The client gives up on an answer that is silent for long.
_HEARTBEAT_SECONDS = 10


async def write_token(request: Request) -> JSONResponse:
    """GET .../xet-write-token/{rev}."""
    return _token(visit_to_transfer(request), request, "write")


async def read_only_token(request: Request) -> JSONResponse:
    """GET .../xet-read-token/{rev}."""
    return _token(visit_to_open(request), request, "read")


async def find_chunk(request: Request) -> Response:
    """GET a shard that knows a chunk, so that the client need not send it. Raises a 404 WireError."""
    hub, _ = _allowed(request, "write")
    found = await to_thread.run_sync(hub.xet.find_chunk, xet_hash_name(request.path_params["hash"]))
    if found is None:
        raise not_found("No xorb has this chunk")
    return Response(found, media_type="application/octet-stream")


async def put_xorb(request: Request) -> JSONResponse:
    """POST a xorb. Raises a 400 or 413 WireError."""
    hub, _ = _allowed(request, "write")
    new = await hub.xet.receive_xorb(xet_hash_name(request.path_params["hash"]), request.stream())
    return JSONResponse({"was_inserted": new})


async def put_shard(request: Request) -> JSONResponse:
    """POST a shard, version 1: the answer comes when its files are whole. Raises a 400 or 413 WireError."""
    hub, _ = _allowed(request, "write")
    shard = await hub.xet.receive_shard(request.stream())
    await to_thread.run_sync(_add_shard, hub, shard)
    return JSONResponse({"result": 1})


async def put_shard_with_progress(request: Request) -> StreamingResponse:
    """POST a shard, version 2: lines of JSON until its files are whole. Raises a 400 or 413 WireError."""
    hub, _ = _allowed(request, "write")
    shard = await hub.xet.receive_shard(request.stream())
    return StreamingResponse(_progress(hub, shard), media_type="application/x-ndjson")


async def reconstruction(request: Request) -> JSONResponse:
    """GET how a file, or a range of it, is made of chunks. Raises a 404 or 416 WireError."""
    hub, right = _allowed(request, "read")
    entry = hub.xet.find_file(xet_hash_name(request.path_params["hash"]))
    if entry is None or entry not in _readable(hub, right):
        raise not_found("No file of this revision has this hash")
    assert entry.sha256 is not None
    start, end = _asked_range(request, entry.size)
    parts = parts_of(entry.size, start, end)
    names = [block_hash(entry.sha256, part.block) for part in parts]
    terms = [
        {"hash": name, "unpacked_length": part.length, "range": {"start": part.first, "end": part.end}}
        for name, part in zip(names, parts, strict=True)
    ]
    xorbs = {
        name: [{"url": _block_url(hub, entry.sha256, part.block), "ranges": [describe_part(part)]}]
        for name, part in zip(names, parts, strict=True)
    }
    return JSONResponse(
        {"offset_into_first_range": offset_into_first(start), "terms": terms, "xorbs": xorbs},
    )


async def send_block(request: Request) -> StreamingResponse:
    """GET the bytes of a block at its presigned address. Raises a 403, 404 or 416 WireError."""
    hub, query = hub_of(request), request.query_params
    expires, signature = query.get("expires", ""), query.get("signature", "")
    if not hub.signer.accepts(request.scope["path"], expires=expires, signature=signature):
        raise WireError(403, "The address is not valid, or has expired")
    entry = hub.blobs.find_large(sha256_name(request.path_params["sha256"]))
    if entry is None:
        raise not_found("The object is gone")
    block = request.path_params["block"]
    size = sent_size(entry.size, block)
    start, end = _asked_range(request, size)
    headers = {
        "Content-Range": f"bytes {start}-{end - 1}/{size}",
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
    }
    body = read_sent(hub.blobs.path_of(entry), block, start, end)
    return StreamingResponse(body, 206, headers, media_type="application/octet-stream")


def _token(found: Visit, request: Request, scope: str) -> JSONResponse:
    commit = found.commit(request.path_params["revision"])
    token, expires = make_token(found.hub.signer, XetRight(scope, found.address, commit.sha))
    storage = f"{found.hub.base_url}{_STORAGE}/{found.hub.xet.id}"
    headers = {
        "X-Xet-Cas-Url": storage,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(expires),
    }
    return JSONResponse({"accessToken": token, "exp": expires, "casUrl": storage}, headers=headers)


def _allowed(request: Request, scope: str) -> tuple[Hub, XetRight]:
    hub = hub_of(request)
    if request.path_params["store"] != hub.xet.id:
        raise not_found("The storage of another Hub was asked for")
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    right = read_token(hub.signer, token.strip()) if kind.lower() == "bearer" else None
    if right is None:
        raise unauthorized("The xet token is not valid, or has expired")
    if right.scope not in {scope, "write"}:
        raise forbidden("The xet token does not allow to upload")
    return hub, right


def _readable(hub: Hub, right: XetRight) -> set[Entry]:
    """Return the files that a token opens; a name alone, which gated repos show to all, opens none."""
    if hub.repos.find(right.address) is None:
        raise not_found("The repo is gone")
    return set(hub.repos.commit(right.address, right.commit).tree.values())


def _asked_range(request: Request, size: int) -> tuple[int, int]:
    """Return start and exclusive end of the range asked for, or of everything; raises a 416 WireError."""
    text = request.headers.get("range")
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text)
    start = int(match[1]) if match else size
    end = min(int(match[2]) + 1 if match and match[2] else size, size)
    if start >= end:
        raise WireError(416, "No such range", headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _block_url(hub: Hub, sha256: str, block: int) -> str:
    path = f"{_STORAGE}/blocks/{sha256}/{block}"
    return f"{hub.base_url}{path}?{hub.signer.query(path)}"


def _add_shard(hub: Hub, shard: Shard) -> None:
    hub.xet.add_shard(shard, created=int(hub.now().timestamp()))


async def _progress(hub: Hub, shard: Shard) -> AsyncIterator[bytes]:
    work = asyncio.ensure_future(to_thread.run_sync(_add_shard, hub, shard))
    while not (await asyncio.wait({work}, timeout=_HEARTBEAT_SECONDS))[0]:
        yield _line({"type": "validating", "verified": 0, "total": len(shard.files)})
    try:
        work.result()
    except WireError as error:
        yield _line({"type": "error", "message": error.message, "retryable": False})
    else:
        yield _line({"type": "result", "result": 1})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


routes = [
    Route(f"{REPO_API}/xet-write-token/{{revision:part}}", write_token),
    Route(f"{REPO_API}/xet-read-token/{{revision:part}}", read_only_token),
    Route(f"{_STORAGE}/{{store:part}}/v1/chunks/default/{{hash:part}}", find_chunk),
    Route(f"{_STORAGE}/{{store:part}}/v1/xorbs/default/{{hash:part}}", put_xorb, methods=["POST"]),
    Route(f"{_STORAGE}/{{store:part}}/v1/shards", put_shard, methods=["POST"]),
    Route(f"{_STORAGE}/{{store:part}}/v2/shards", put_shard_with_progress, methods=["POST"]),
    Route(f"{_STORAGE}/{{store:part}}/v2/reconstructions/{{hash:part}}", reconstruction),
    Route(f"{_STORAGE}/blocks/{{sha256:part}}/{{block:int}}", send_block),
]
