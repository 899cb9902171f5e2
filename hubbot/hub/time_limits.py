"""What is laid upon every HTTP request to the Hub: time limits, which its client leaves open, and the budget.

Limits of a whole call (retries.py) end what these let pass.
"""

import time
from collections.abc import Iterator
from functools import cache
from typing import cast

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

from hubbot.hub.answer_limits import bound
from hubbot.hub.request_budget import spender

# Seconds to connect, between two packets of an answer, for one packet to be taken, for a free connection.
LIMITS = {"connect": 10.0, "read": 30.0, "write": 60.0, "pool": 30.0}
# An answer that brings fewer bytes than this in so many seconds is none.
WINDOW_SECONDS = 60.0
LEAST_BYTES = 60_000


@cache
def limit_requests() -> None:
    """Give the Hub's client its limits, once for the process."""
    set_client_factory(_client)


def _client() -> httpx2.Client:
    client = default_client_factory()
    client.event_hooks = {
        "request": [*client.event_hooks["request"], _limit, _spend],
        "response": [*client.event_hooks["response"], _note, _pace],
    }
    return client


def _limit(request: httpx2.Request) -> None:
    """Set each limit that the request leaves open."""
    if request.headers.get("accept-encoding") != "identity":
        request.headers["accept-encoding"] = "gzip"
    given = request.extensions.get("timeout") or {}
    stated = {name: seconds for name, seconds in given.items() if seconds is not None}
    request.extensions = {**request.extensions, "timeout": {**LIMITS, **stated}}


def _spend(request: httpx2.Request) -> None:
    """Wait for the request's turn in the budget of whoever makes it."""
    who = spender()
    if who is not None:
        who.before(str(request.url))


def _note(response: httpx2.Response) -> None:
    who = spender()
    if who is not None:
        who.budget.note(str(response.request.url), response.status_code, response.headers)


def _pace(response: httpx2.Response) -> None:
    response.stream = bound(response, _Paced(cast("httpx2.SyncByteStream", response.stream)))


class _Paced(httpx2.SyncByteStream):
    """A body that must not trickle: one byte now and then keeps every other limit from acting."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        begun, received = time.monotonic(), 0
        for chunk in self._stream:
            received += len(chunk)
            now = time.monotonic()
            if now - begun > WINDOW_SECONDS:
                if received < LEAST_BYTES:
                    raise httpx2.ReadTimeout(f"{received} bytes came in {now - begun:.0f} seconds")
                begun, received = now, 0
            yield chunk

    def close(self) -> None:
        """Close the body itself."""
        self._stream.close()
