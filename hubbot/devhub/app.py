"""The Starlette application: all routes, the refusals' handlers, the request id, the faults.

Knows how the parts are put together. Never answers a request itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from hubbot.devhub.accounts import Account
from hubbot.devhub.faults import Faults, InjectFaults
from hubbot.devhub.hubs import Hub
from hubbot.devhub.raw_path_routes import RawPath
from hubbot.devhub.request_ids import RequestIds
from hubbot.devhub.routes import (
    collections,
    commit,
    discussions,
    files,
    gates,
    history,
    identity,
    info,
    lfs,
    likes,
    pages,
    preupload,
    refs,
    repos,
    search,
    trees,
    webhooks,
    xet,
)
from hubbot.devhub.wire_errors import Moved, WireError, answer_http_error, answer_moved, answer_wire_error

# Pages come last: `/{namespace}/{name}` would swallow shorter addresses.
_MODULES = (
    *(identity, search, repos, info, trees, history, refs, preupload, commit, lfs, xet, files),
    *(gates, likes, collections, webhooks, discussions, pages),
)


def create_app(
    root: Path,
    *,
    base_url: str,
    accounts: Mapping[str, Account],
    faults: Faults | None = None,
) -> Starlette:
    """Make the Hub whose state lies under `root` and that answers at `base_url`.

    `accounts` maps tokens to the accounts they stand for.
    """
    # A page in a browser could point its own name at this machine; only the Hub's own names are answered.
    hosts = ["127.0.0.1", "localhost", urlsplit(base_url).hostname or "localhost"]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(RequestIds)]
    if faults is not None:
        middleware.append(Middleware(InjectFaults, faults=faults))
    middleware.append(Middleware(RawPath))
    app = Starlette(
        routes=[route for module in _MODULES for route in module.routes],
        middleware=middleware,
        exception_handlers={
            WireError: answer_wire_error,
            Moved: answer_moved,
            HTTPException: answer_http_error,
        },
    )
    app.state.hub = Hub(root, base_url=base_url, accounts=accounts, now=lambda: datetime.now(UTC))
    return app
