"""The pages that are only read, and the same content as JSON under /api."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from hubbot.errors import HubbotError
from hubbot.web import contents, token_file
from hubbot.web.guards import VISITOR_COOKIE, is_signed_in, visitor_of
from hubbot.web.site import Site
from hubbot.web.templating import render

Read = Callable[[Site, Request], dict[str, Any]]


def _listing(read: Callable[[Site, Mapping[str, str]], dict[str, Any]]) -> Read:
    return lambda site, request: read(site, request.query_params)


# Path, template, the entry of the navigation it stands under, content.
PAGES: tuple[tuple[str, str, str, Read], ...] = (
    ("/", "overview.html", "/", _listing(contents.overview)),
    ("/jobs", "jobs.html", "/jobs", _listing(contents.jobs)),
    ("/jobs/{id:int}", "job.html", "/jobs", lambda site, request: contents.job(site, request.path_params["id"])),
    ("/published", "published.html", "/published", _listing(contents.published)),
    (
        "/published/{repo:path}",
        "model.html",
        "/published",
        lambda site, request: contents.model(site, request.path_params["repo"]),
    ),
    ("/layouts", "layouts.html", "/layouts", _listing(contents.layouts)),
    ("/health", "health.html", "/health", _listing(contents.health)),
)


def routes(site: Site) -> list[Route]:
    """Return the routes of every page, as HTML and as JSON."""
    made = []
    for path, template, section, read in PAGES:
        made.append(Route(path, _as_page(site, template, section, read)))
        made.append(Route("/api/overview" if path == "/" else f"/api{path}", _as_json(site, read)))
    return made


def page(
    site: Site, request: Request, template: str, values: Mapping[str, Any], *, section: str = "", status: int = 200
) -> Response:
    """Return a filled template; a visitor who comes for the first time gets the cookie that forms need."""
    visitor = visitor_of(request)
    cookie = visitor or token_file.new_visitor()
    frame = {
        "section": section,
        "static": False,
        "version": "",
        "form_token": token_file.form_token(site.token, cookie),
        "signed_in": not site.open_to_all and is_signed_in(request, site),
    }
    answer = HTMLResponse(render(template, {**frame, **values}, now=site.clock()), status)
    if visitor is None:
        set_cookie(request, answer, VISITOR_COOKIE, cookie)
    return answer


def set_cookie(request: Request, answer: Response, name: str, value: str) -> None:
    """Set a cookie that no script reads and no other site sends along."""
    seconds = int(token_file.SESSION.total_seconds())
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=seconds, httponly=True, samesite="strict", secure=secure)


def refusal(site: Site, request: Request, error: HubbotError, status: int) -> Response:
    """Return an error as a page that says what happened and what to do, or as JSON under /api."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": error.to_json()}, status)
    return page(site, request, "refusal.html", {"error": error.to_json(), "status": status}, status=status)


def missing(site: Site, request: Request, error: HTTPException) -> Response:
    """Return the answer to an address that does not exist, or to a method that it does not know."""
    return refusal(site, request, HubbotError(error.detail, where=request.url.path), error.status_code)


def _as_page(site: Site, template: str, section: str, read: Read) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            # Before what is read: what changes meanwhile is noticed by the open page.
            seen = contents.version(site)
            content = read(site, request)
        except HubbotError as error:
            return refusal(site, request, error, _status(error))
        return page(site, request, template, {**content, "version": seen}, section=section)

    return answer


def _as_json(site: Site, read: Read) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return JSONResponse(read(site, request))
        except HubbotError as error:
            return refusal(site, request, error, _status(error))

    return answer


def _status(error: HubbotError) -> int:
    # What reading finds missing is the address's fault; all else is a database that does not answer.
    return 503 if error.state == "waiting" else 404
