"""The refusals of the Hub, as status, X-Error-Code, X-Error-Message and JSON body.

The client tells errors apart by these headers alone, so each of them is made here and nowhere else.
Never decides who may do what: see access.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class WireError(Exception):
    """A refusal that the exception handler turns into a response."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.body = dict(body or {})


class Moved(Exception):
    """The repo answers under another name now; `location` is where."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def bad_request(message: str) -> WireError:
    """Make the 400 for a request that makes no sense."""
    return WireError(400, message)


def unauthorized(message: str = "Invalid username or password.") -> WireError:
    """Make the 401 for somebody who must log in first."""
    return WireError(401, message)


def invalid_token() -> WireError:
    """Make the 401 whose exact message the client looks for."""
    return WireError(401, "Invalid credentials in Authorization header")


def forbidden(message: str) -> WireError:
    """Make the 403 for somebody known who has no right to this."""
    return WireError(403, message)


def not_found(message: str) -> WireError:
    """Make a 404 without an error code, for things that are not repos."""
    return WireError(404, message)


def repo_not_found() -> WireError:
    """Make the 404 that missing repos and hidden private repos share."""
    return WireError(404, "Repository not found", code="RepoNotFound")


def revision_not_found(revision: str) -> WireError:
    """Make the 404 for an unknown branch, tag or commit."""
    return WireError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str, commit: str) -> WireError:
    """Make the 404 for an unknown path; the commit lets the client cache the absence."""
    message = f"Entry not found: {path}"
    return WireError(404, message, code="EntryNotFound", headers={"X-Repo-Commit": commit})


def gated(repo_id: str, base_url: str, *, known: bool) -> WireError:
    """Make the refusal of a gated repo's files: 401 for the anonymous, 403 for a known account."""
    if known:
        text = (
            f"Access to model {repo_id} is restricted and you are not in the authorized list. "
            f"Visit {base_url}/{repo_id} to ask for access."
        )
        return WireError(403, text, code="GatedRepo")
    text = (
        f"Access to model {repo_id} is restricted. "
        "You must have access to it and be authenticated to access it. Please log in."
    )
    return WireError(401, text, code="GatedRepo")


async def answer_wire_error(_request: Request, error: Exception) -> Response:
    """Turn a WireError into its response."""
    assert isinstance(error, WireError)
    headers = dict(error.headers)
    headers["X-Error-Message"] = _header_safe(error.message)
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message, **error.body}, error.status, headers)


async def answer_moved(_request: Request, error: Exception) -> Response:
    """Turn a Moved into a redirect that keeps the method and the body."""
    assert isinstance(error, Moved)
    return JSONResponse({"location": error.location}, 307, {"Location": error.location})


async def answer_http_error(_request: Request, error: Exception) -> Response:
    """Give Starlette's own refusals (no such route, wrong method) the Hub's JSON body."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, dict(error.headers or {}))


def _header_safe(message: str) -> str:
    """Return the message as one line of ASCII, which is all that a header may carry."""
    return message.encode("ascii", "replace").decode("ascii").replace("\r", " ").replace("\n", " ")
