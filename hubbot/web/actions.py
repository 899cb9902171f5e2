"""What a person may do: sign in and out, enqueue, retry, cancel, prioritise; every form carries a token."""

from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hubbot.errors import HubbotError, TryLater, WrongUsage
from hubbot.web import token_file
from hubbot.web.guards import FORM_BYTES, SESSION_COOKIE, SIGN_IN, is_own_form, read_body
from hubbot.web.page_routes import page, refusal, set_cookie
from hubbot.web.site import Site

Form = dict[str, list[str]]
Act = Callable[[Request, Form], Response]
HIGHEST_PRIORITY = 1000


def routes(site: Site) -> list[Route]:
    """Return the routes of the sign-in page and of every form."""
    queue = site.records.queue

    def show_sign_in(request: Request) -> Response:
        return page(site, request, "sign_in.html", {"wrong": False})

    def sign_in(request: Request, form: Form) -> Response:
        if not token_file.same(_one(form, "token").strip(), site.token):
            return page(site, request, "sign_in.html", {"wrong": True}, status=403)
        answer = RedirectResponse("/", 303)
        set_cookie(request, answer, SESSION_COOKIE, token_file.sign_session(site.token, site.clock()))
        return answer

    def sign_out(request: Request, form: Form) -> Response:
        del request, form
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    def enqueue(request: Request, form: Form) -> Response:
        del request
        repo, revision = _one(form, "repo").strip(), _one(form, "revision").strip()
        if not repo:
            raise WrongUsage("a repo id is missing", hint="write it as name/model")
        job = site.enqueue(repo, revision or None, tuple(form.get("variant", ())), _priority(form))
        return RedirectResponse(f"/jobs/{job.id}", 303)

    def retry(request: Request, form: Form) -> Response:
        del form
        job = queue.retry(request.path_params["id"])
        return RedirectResponse(f"/jobs/{job.id}", 303)

    def cancel(request: Request, form: Form) -> Response:
        del form
        job = queue.cancel(request.path_params["id"])
        return RedirectResponse(f"/jobs/{job.id}", 303)

    def prioritise(request: Request, form: Form) -> Response:
        job = queue.prioritise(request.path_params["id"], _priority(form))
        return RedirectResponse(f"/jobs/{job.id}", 303)

    posts: dict[str, Act] = {
        SIGN_IN: sign_in,
        "/sign-out": sign_out,
        "/jobs": enqueue,
        "/jobs/{id:int}/retry": retry,
        "/jobs/{id:int}/cancel": cancel,
        "/jobs/{id:int}/priority": prioritise,
    }
    return [
        Route(SIGN_IN, show_sign_in),
        *(Route(path, _posted(site, act), methods=["POST"]) for path, act in posts.items()),
    ]


def _posted(site: Site, act: Act) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        body = await read_body(request, FORM_BYTES)
        if body is None:
            return refusal(site, request, WrongUsage("the form is too long"), 413)
        try:
            form = parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=100)
        except ValueError:
            return refusal(site, request, WrongUsage("the form cannot be read"), 400)
        if not is_own_form(request, _one(form, "form_token"), site):
            stale = WrongUsage("the form is not from this page, or the page is too old", hint="load it again")
            return refusal(site, request, stale, 403)
        try:
            return await run_in_threadpool(act, request, form)
        except TryLater as error:
            return refusal(site, request, error, 503)
        except HubbotError as error:
            return refusal(site, request, error, 409)

    return answer


def _one(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _priority(form: Form) -> int:
    given = _one(form, "priority").strip() or "0"
    if not given.removeprefix("-").isdecimal() or len(given) > 5 or abs(int(given)) > HIGHEST_PRIORITY:
        raise WrongUsage(f"a priority is a whole number from -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}")
    return int(given)
