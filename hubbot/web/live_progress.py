"""Progress as server-sent events: what runs, and that anything else has changed, whenever it changes.

The pages work without it. The database is asked, so it does not matter which process works.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hubbot.errors import TryLater
from hubbot.web import contents
from hubbot.web.site import Site

POLL_SECONDS = 1.0
# A comment this often finds out that the browser has gone, and keeps proxies from closing a quiet stream.
BREATH_SECONDS = 15.0
# Each stream asks the database once a second.
MOST_STREAMS = 32


def routes(site: Site) -> list[Route]:
    """Return the route of the stream."""
    streams = 0

    async def events() -> AsyncIterator[str]:
        nonlocal streams
        streams += 1
        try:
            told, quiet = "", 0.0
            while True:
                try:
                    now = json.dumps(await run_in_threadpool(contents.live, site))
                except TryLater:
                    now = told
                if now != told:
                    told, quiet = now, 0.0
                    yield f"data: {now}\n\n"
                elif quiet >= BREATH_SECONDS:
                    quiet = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(POLL_SECONDS)
                quiet += POLL_SECONDS
        finally:
            streams -= 1

    async def live(request: Request) -> Response:
        del request
        if streams >= MOST_STREAMS:
            return PlainTextResponse("too many pages are being watched\n", 503)
        return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    return [Route("/live", live)]
