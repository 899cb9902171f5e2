"""What stands before every request: allowed host names, sign-in, size of bodies, headers of answers."""

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hubbot.web import token_file
from hubbot.web.site import Site

SESSION_COOKIE = "hubbot_session"
VISITOR_COOKIE = "hubbot_visitor"
SIGN_IN = "/sign-in"
# A person's form; only the webhook takes more.
FORM_BYTES = 16 << 10
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # With no-referrer browsers send forms from the origin "null", and no form could be told from a stranger's.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_BY_BEARER = ("/api/", "/metrics")
_OPEN = ("/healthz", "/static/", "/webhooks/", SIGN_IN)


class Guard:
    """Lets a request through to the pages, or answers it."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the headers of safety are on every answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        host = _host_name(request.headers.get("host", ""))
        if host not in self._site.hosts:
            return PlainTextResponse(
                "This host name is not allowed here. The setting web_hosts lists the names that are.\n", 421
            )
        path = request.url.path
        if path.startswith(_BY_BEARER):
            return None if _bears(request, self._site.token) else _unauthorised()
        if self._site.open_to_all or path.startswith(_OPEN) or is_signed_in(request, self._site):
            return None
        return RedirectResponse(SIGN_IN, 303) if request.method in {"GET", "HEAD"} else _unauthorised()


def is_signed_in(request: Request, site: Site) -> bool:
    """Say whether the request carries a session of this site."""
    cookie = request.cookies.get(SESSION_COOKIE, "")
    return token_file.is_session(site.token, cookie, site.clock())


def visitor_of(request: Request) -> str | None:
    """Return the visitor's cookie, or None where there is none of ours."""
    cookie = request.cookies.get(VISITOR_COOKIE, "")
    return cookie if token_file.is_visitor(cookie) else None


def is_own_form(request: Request, given: str, site: Site) -> bool:
    """Say whether a form was sent from a page of this site, to this visitor."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return False
    visitor = visitor_of(request)
    return visitor is not None and token_file.same(given, token_file.form_token(site.token, visitor))


async def read_body(request: Request, limit: int) -> bytes | None:
    """Return the body, or None where it is longer than `limit` bytes; no more than that is kept."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _bears(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and token_file.same(given.strip(), token)


def _unauthorised() -> Response:
    hint = f"The token stands in the file {token_file.FILE_NAME} of the data folder.\n"
    return PlainTextResponse(hint, 401, headers={"WWW-Authenticate": "Bearer"})
