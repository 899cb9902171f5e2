"""Routes that match the raw path: `refs%2Fpr%2F1` is one segment, `sub%2Fdir` and `sub/dir` are the same path.

Knows how a path is taken apart. Never answers a request.
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

REPO_API = "/api/{kind:kind}/{namespace:part}/{name:part}"


class _Part(Convertor[str]):
    """One segment, percent-decoded after the match."""

    regex: ClassVar[str] = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return value


class _Rest(_Part):
    """Everything that is left, percent-decoded after the match."""

    regex: ClassVar[str] = ".*"


class _Kind(_Part):
    """A kind of repo."""

    regex: ClassVar[str] = "models|datasets|spaces"


register_url_convertor("part", _Part())
register_url_convertor("rest", _Rest())
register_url_convertor("kind", _Kind())


class RawPath:
    """Middleware that makes the router see the path as it was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its undecoded path."""
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await self._app(scope, receive, send)


__all__ = ["REPO_API", "RawPath", "Route"]
