"""The dashboard as one application, and as a server in a thread of this process."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from hubbot.errors import WrongUsage
from hubbot.jobs.bot import wake_watch
from hubbot.jobs.open_records import Records, utc_now
from hubbot.settings import Settings
from hubbot.web import actions, live_progress, metrics, page_routes, pictures, token_file, webhook
from hubbot.web.guards import Guard
from hubbot.web.site import LOOPBACK_NAMES, Enqueue, Site
from hubbot.web.templating import STATIC

DEFAULT_PORT = 8765
LOOPBACK = "127.0.0.1"
_GRACE_SECONDS = 2


def site_of(settings: Settings, records: Records, enqueue: Enqueue, *, host: str) -> Site:
    """Return the site served at address `host`; beyond loopback its pages ask for the token.

    Raises WrongUsage where the token's file is not this user's alone.
    """
    own = {host} if not _is_unspecified(host) else {socket.gethostname().lower()}
    return Site(
        settings=settings,
        records=records,
        enqueue=enqueue,
        token=token_file.read_or_make(settings.data_dir),
        hosts=LOOPBACK_NAMES | own | {name.lower() for name in settings.web_hosts},
        open_to_all=is_loopback(host),
        clock=utc_now,
    )


def application(site: Site) -> ASGIApp:
    """Return the whole application behind its guard."""

    def missing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return page_routes.missing(site, request, error)

    app = Starlette(
        routes=[
            *actions.routes(site),
            *page_routes.routes(site),
            *live_progress.routes(site),
            *pictures.routes(site),
            *metrics.routes(site),
            *webhook.routes(site, lambda: wake_watch(site.settings)),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={HTTPException: missing},
    )
    return Guard(app, site)


@contextmanager
def serving(site: Site, *, host: str, port: int) -> Iterator[str]:
    """Serve the site while the block runs, and yield its address; raises WrongUsage where the port is taken."""
    listener = _listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            application(site),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            # A proxy before it would have to be trusted, and none is.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    thread = Thread(target=server.run, args=([listener],), name="dashboard", daemon=True)
    thread.start()
    name = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{name}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise WrongUsage(
            f"port {port} at {host} cannot be served: {error}", hint="choose another --port, or end who has it"
        ) from error
    return listener
