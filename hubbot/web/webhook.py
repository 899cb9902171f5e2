"""The Hub's webhook: it makes the bot look at the Hub under its watch rules, and nothing else.

What it says is not believed: no repo that it names is enqueued. Repeated, it is one look.
"""

import json
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hubbot.web import token_file
from hubbot.web.guards import read_body
from hubbot.web.site import Site

MOST_BYTES = 1 << 20
SECRET_HEADER = "x-webhook-secret"  # noqa: S105 - a header's name


def routes(site: Site, wake: Callable[[], None]) -> list[Route]:
    """Return the route; without the setting webhook_secret there is none."""
    secret = site.settings.webhook_secret
    if secret is None or not secret.get_secret_value():
        return []
    expected = secret.get_secret_value()

    async def hub(request: Request) -> Response:
        if not token_file.same(request.headers.get(SECRET_HEADER, ""), expected):
            return PlainTextResponse("the secret is not that of the setting webhook_secret\n", 403)
        body = await read_body(request, MOST_BYTES)
        if body is None:
            return PlainTextResponse("a body has at most 1 MB\n", 413)
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return PlainTextResponse("the body is no JSON object\n", 400)
        await run_in_threadpool(wake)
        return PlainTextResponse("the watch rules are looked at soon\n", 202)

    return [Route("/webhooks/hub", hub, methods=["POST"])]
