"""Request bodies that are small by nature: JSON, urlencoded forms, lines of JSON; all bounded.

Never reads the bytes of a large file: see blobs.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request

from hubbot.devhub.wire_errors import WireError, bad_request

_BODY_LIMIT = 8 * 1024 * 1024
_LINE_LIMIT = 32 * 1024 * 1024


async def read_object(request: Request) -> dict[str, Any]:
    """Read a JSON object, an absent body being an empty one; raises a 400 or 413 WireError."""
    body = await _read_bounded(request)
    return _parse_object(body) if body.strip() else {}


async def read_form(request: Request) -> dict[str, list[str]]:
    """Read a urlencoded form, or a JSON object in its place, as lists of strings; raises a WireError."""
    body = await _read_bounded(request)
    if request.headers.get("content-type", "").startswith("application/json"):
        found = _parse_object(body)
        return {key: [str(item) for item in _as_list(value)] for key, value in found.items()}
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=100_000)
    except ValueError as error:
        raise bad_request("The form cannot be read") from error


async def read_lines(request: Request) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of an NDJSON body one by one; raises a WireError."""
    held = b""
    async for chunk in request.stream():
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield _parse_object(line)
        if len(held) > _LINE_LIMIT:
            raise WireError(413, "A line of the commit is too long")
    if held.strip():
        yield _parse_object(held)


async def _read_bounded(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise WireError(413, "The body is too large")
    return bytes(body)


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_request("The body is not JSON") from error
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object")
    return value


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]
