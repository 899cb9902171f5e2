"""Gives every answer an X-Request-Id, which the client puts into its error messages.

Echoes the client's X-Amzn-Trace-Id where there is one, counts otherwise. Never looks at the body.
"""

from __future__ import annotations

from itertools import count

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RequestIds:
    """Middleware that adds the header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and name its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = Headers(scope=scope).get("x-amzn-trace-id") or f"Root=devhub-{next(self._numbers)}"

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        await self._app(scope, receive, send_named)
