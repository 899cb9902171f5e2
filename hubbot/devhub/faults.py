"""Failures on demand, for tests of the Hub's clients: refusals, broken downloads; and a count of requests.

Thread-safe: a test arms faults in its own thread while the server runs in another.
Never decides by itself to fail.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CONNECTION = "hubbot.connection"
# More bytes than any answer has.
_NEVER = 1 << 62


@dataclass(slots=True)
class _Fault:
    method: str
    path: re.Pattern[str]
    left: int
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    cut_after: int | None = None
    is_reset: bool = False
    is_spoilt: bool = False
    pause: float = 0.0
    meanwhile: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as the Hub saw it: `sent` are body bytes that left, `status` 0 means none was sent."""

    method: str
    path: str
    status: int
    received: int
    sent: int
    range: str | None


class Faults:
    """What shall go wrong next, and what has been asked so far."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._armed: list[_Fault] = []
        self._seen: list[_Meter] = []
        self._quota: tuple[int, int] | None = None
        self._left = 0

    def tell_quota(self, requests: int | None, *, window: int = 300) -> None:
        """Count requests and tell what is left of so many in each answer, as the Hub does; None ends it."""
        with self._lock:
            self._quota, self._left = (None if requests is None else (requests, window)), requests or 0

    def _spend(self) -> dict[str, str]:
        """Take one request from the quota and return the headers that tell of it."""
        with self._lock:
            if self._quota is None:
                return {}
            requests, window = self._quota
            self._left = max(self._left - 1, 0)
            return {
                "RateLimit": f'"api";r={self._left};t={window}',
                "RateLimit-Policy": f'"fixed window";"api";q={requests};w={window}',
            }

    def fail(
        self,
        method: str,
        path: str,
        *,
        times: int = 1,
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> None:
        """Refuse the next `times` requests whose raw path matches the regex `path` anywhere.

        They have no effect on the Hub. `method` may be `*`.
        """
        pattern = re.compile(path)
        self._arm(_Fault(method, pattern, times, status=status, headers=headers or {}, body=body))

    def limit_rate(self, method: str, path: str, *, times: int = 1, wait: int = 1) -> None:
        """Answer the next requests with a 429 that asks for `wait` seconds of patience."""
        headers = {
            "RateLimit": f'"api";r=0;t={wait}',
            "RateLimit-Policy": '"fixed window";"api";q=1000;w=300',
        }
        self.fail(method, path, times=times, status=429, headers=headers)

    def cut(
        self,
        method: str,
        path: str,
        *,
        after: int,
        times: int = 1,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Break the connection of the next requests after `after` bytes of the answer's body.

        The request has its effect; with `after=0` its answer is lost, an empty one too (but for HEAD, which has no
        body to break off). `meanwhile` is called after the effect, before anything is answered.
        """
        self._arm(_Fault(method, re.compile(path), times, cut_after=after, meanwhile=meanwhile))

    def spoil(self, method: str, path: str, *, times: int = 1) -> None:
        """Answer the next requests with a bit of the body's first byte turned: a download that arrives corrupt."""
        self._arm(_Fault(method, re.compile(path), times, cut_after=_NEVER, is_spoilt=True))

    def reset(
        self, method: str, path: str, *, times: int = 1, meanwhile: Callable[[], object] | None = None
    ) -> None:
        """Break the connection of the next requests, which have no effect on the Hub and get no answer at all.

        `meanwhile` is called first.
        """
        self._arm(_Fault(method, re.compile(path), times, is_reset=True, meanwhile=meanwhile))

    def trickle(self, method: str, path: str, *, pause: float, times: int = 1) -> None:
        """Take in the bodies of the next requests slowly: `pause` seconds before each part but the first.

        One that comes in a single part is held up for as long.
        """
        self._arm(_Fault(method, re.compile(path), times, cut_after=_NEVER, pause=pause))

    def clear(self) -> None:
        """Disarm what has not happened, and forget what was asked."""
        with self._lock:
            self._armed.clear()
            self._seen.clear()

    def exchanges(self, method: str = "*", path: str = "") -> list[Exchange]:
        """Return the requests that match, in the order they came, also those under way."""
        with self._lock:
            seen = [meter.exchange() for meter in self._seen]
        return [one for one in seen if method in {"*", one.method} and re.search(path, one.path)]

    def count(self, method: str = "*", path: str = "") -> int:
        """Return how many requests matched."""
        return len(self.exchanges(method, path))

    def bytes_sent(self, method: str = "*", path: str = "") -> int:
        """Return how many bytes of body the Hub sent to the requests that matched."""
        return sum(one.sent for one in self.exchanges(method, path))

    def _arm(self, fault: _Fault) -> None:
        with self._lock:
            self._armed.append(fault)

    def _take(self, method: str, path: str) -> _Fault | None:
        with self._lock:
            for fault in self._armed:
                if fault.method in {"*", method} and fault.path.search(path):
                    fault.left -= 1
                    if fault.left <= 0:
                        self._armed.remove(fault)
                    return fault
        return None

    def _watch(self, meter: _Meter) -> None:
        with self._lock:
            self._seen.append(meter)


class _Cut(Exception):
    """The connection shall break here."""


class InjectFaults:
    """Middleware that lets the armed faults happen and notes every request."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or fail it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["raw_path"].decode("ascii", "replace")
        fault = self._faults._take(scope["method"], path)  # noqa: SLF001 - two halves of one thing
        meter = _Meter(scope, receive, send, fault, self._faults._spend())  # noqa: SLF001
        self._faults._watch(meter)  # noqa: SLF001
        if fault is not None and fault.is_reset:
            if fault.meanwhile is not None:
                fault.meanwhile()
            await _break_off(scope)
            return
        app = self._app if fault is None or fault.cut_after is not None else _refusal(fault)
        try:
            await app(scope, meter.receive, meter.send)
        except _Cut:
            # Returning early makes the server close the connection after what was already sent.
            return


class Breakable:
    """The outermost layer: notes with each request how its connection is broken off without any answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        # ASGI has no word for it; uvicorn's `send` belongs to an object that holds the connection.
        scope[_CONNECTION] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._app(scope, receive, send)


async def _break_off(scope: Scope) -> None:
    scope[_CONNECTION].abort()
    # uvicorn hears of it in the next round of the loop, and then answers nothing.
    await asyncio.sleep(0.01)


class _Meter:
    """Counts the bytes of one request, and cuts the answer where that is asked."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, fault: _Fault | None, told: Mapping[str, str]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._cut_after = None if fault is None else fault.cut_after
        self._pause = 0.0 if fault is None else fault.pause
        self._is_spoilt = fault is not None and fault.is_spoilt
        self._meanwhile = None if fault is None else fault.meanwhile
        self._told = told
        self._status = 0
        self._received = 0
        self._sent = 0

    def exchange(self) -> Exchange:
        """Return what has passed so far."""
        path = self._scope["raw_path"].decode("ascii", "replace")
        asked = Headers(scope=self._scope).get("range")
        return Exchange(self._scope["method"], path, self._status, self._received, self._sent, asked)

    async def receive(self) -> Message:
        """Take in one message."""
        message = await self._receive()
        is_next = self._received > 0
        self._received += len(message.get("body", b""))
        # A body that came in one part is slow too.
        if self._pause and message["type"] == "http.request" and (is_next or not message.get("more_body")):
            await asyncio.sleep(self._pause)
        return message

    async def send(self, message: Message) -> None:
        """Let one message out, or as much of it as is allowed."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._meanwhile is not None:
                self._meanwhile()
            if self._cut_after == 0 and self._scope["method"] != "HEAD":
                # A byte is promised that never comes, so that an answer without a body is lost as well.
                await self._send({**message, "headers": [(b"content-length", b"1")]})
                raise _Cut
            told = [(name.lower().encode(), value.encode()) for name, value in self._told.items()]
            await self._send({**message, "headers": [*message.get("headers", ()), *told]})
            return
        body = message.get("body", b"")
        if self._is_spoilt and body:
            body, self._is_spoilt = bytes([body[0] ^ 1]) + body[1:], False
            message = {**message, "body": body}
        room = len(body) if self._cut_after is None else self._cut_after - self._sent
        if len(body) <= room:
            self._sent += len(body)
            await self._send(message)
            return
        self._sent += room
        await self._send({"type": "http.response.body", "body": body[:room], "more_body": True})
        raise _Cut


def _refusal(fault: _Fault) -> ASGIApp:
    body = fault.body if fault.body is not None else {"error": "The Hub was told to fail"}
    return JSONResponse(body, fault.status, dict(fault.headers))
