"""Pages of a list and the Link header that leads to the next one.

The client follows the header as it stands, so the address in it is absolute and names this Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.wire_errors import bad_request


def page_of(request: Request, items: Sequence[Any], *, base_url: str, most: int) -> JSONResponse:
    """Answer with the page that `limit` and `cursor` ask for, at most `most` items long.

    Raises a 400 WireError if they are no numbers.
    """
    start = whole_number(request, "cursor", 0)
    size = min(whole_number(request, "limit", most) or most, most)
    page = JSONResponse(items[start : start + size])
    if start + size < len(items):
        kept = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
        query = urlencode([*kept, ("cursor", str(start + size))])
        page.headers["Link"] = f'<{base_url}{request.scope["path"]}?{query}>; rel="next"'
    return page


def whole_number(request: Request, name: str, otherwise: int) -> int:
    """Read a query parameter that is a number of zero or more; raises a 400 WireError."""
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    if not text.isdecimal() or len(text) > 9:
        raise bad_request(f"{name!r} must be a whole number")
    return int(text)


def switched_on(request: Request, name: str) -> bool:
    """Read a query parameter that is a boolean, off where it is missing."""
    return request.query_params.get(name, "").lower() in {"true", "1", "yes"}


def asked_for(request: Request, name: str) -> list[str]:
    """Read a query parameter that may repeat, with or without `[]`."""
    query = request.query_params
    return query.getlist(name) + query.getlist(f"{name}[]")
