"""Pages for people: the list of repos, one repo, one commit, one collection, and the stylesheet."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from hubbot.devhub.access import account_of, hub_of, visit
from hubbot.devhub.accounts import may_open, may_see
from hubbot.devhub.page_rendering import STYLESHEET, card_html, card_rows, render
from hubbot.devhub.raw_path_routes import Route
from hubbot.devhub.routes.collections import show_collection
from hubbot.devhub.stored_objects import KINDS, MAIN, Commit
from hubbot.devhub.wire_errors import revision_not_found
from hubbot.files.sizes import readable

_HISTORY = 20


async def index(request: Request) -> HTMLResponse:
    """GET /: all repos that the visitor may see, the latest first."""
    hub, account = hub_of(request), account_of(request)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        for repo in hub.repos.every(kind):
            if may_see(account, repo):
                head = hub.head(repo)
                rows.append({"repo": repo, "head": head, "tags": hub.metadata(head).tags})
    rows.sort(key=lambda row: str(row["head"].date), reverse=True)
    shelves = [one for one in hub.collections.every() if not one["private"]]
    return render("index.html", rows=rows, collections=shelves)


async def repo_page(request: Request) -> HTMLResponse:
    """GET /{id}: the card, the files and the history; behind a gate only the names of the files."""
    found = visit(request)
    commit = found.commit(request.path_params.get("revision", MAIN))
    opened = may_open(found.account, found.repo)
    facts = found.hub.metadata(commit)
    base = f"/{found.address.url_path}"
    history = list(found.hub.repos.history(found.address, commit.sha))
    return render(
        "repo.html",
        repo=found.repo,
        base=base,
        commit=commit,
        opened=opened,
        facts=facts,
        rows=card_rows(facts.card.data),
        card=card_html(facts.card.body, files=f"{base}/resolve/{commit.sha}/") if opened else "",
        files=_files(commit),
        total=readable(sum(entry.size for entry in commit.tree.values())),
        history=history[:_HISTORY],
        older=max(0, len(history) - _HISTORY),
    )


async def commit_page(request: Request) -> HTMLResponse:
    """GET /{id}/commit/{sha}: what it changed. Raises a 404 WireError."""
    found = visit(request)
    commit = found.commit(request.path_params["revision"])
    if commit.sha != request.path_params["revision"]:
        raise revision_not_found(request.path_params["revision"])
    before = found.hub.repos.commit(found.address, commit.parent).tree if commit.parent else {}
    changes = [
        (path, "removed" if path not in commit.tree else "changed" if path in before else "added")
        for path in sorted(before.keys() | commit.tree.keys())
        if before.get(path) != commit.tree.get(path)
    ]
    return render(
        "commit.html", repo=found.repo, base=f"/{found.address.url_path}", commit=commit, changes=changes
    )


async def blob_page(request: Request) -> RedirectResponse:
    """GET /{id}/blob/{rev}/{path}: the file itself."""
    path = request.scope["path"].replace("/blob/", "/resolve/", 1)
    return RedirectResponse(f"{hub_of(request).base_url}{path}")


async def collection_page(request: Request) -> HTMLResponse:
    """GET /collections/{slug}."""
    return render("collection.html", collection=show_collection(request))


async def stylesheet(_request: Request) -> Response:
    """GET /assets/hub.css."""
    return FileResponse(STYLESHEET, media_type="text/css")


def _files(commit: Commit) -> list[dict[str, Any]]:
    return [
        {"path": path, "size": readable(entry.size), "large": entry.sha256 is not None, "etag": entry.etag}
        for path, entry in sorted(commit.tree.items())
    ]


_ONE = "/{namespace:part}/{name:part}"
_OTHER_KINDS = f"/{{kind:kind}}{_ONE}"

routes = [
    Route("/", index),
    Route("/assets/hub.css", stylesheet),
    Route("/collections/{owner:part}/{slug:part}", collection_page),
    *(
        route
        for prefix in (_OTHER_KINDS, _ONE)
        for route in (
            Route(prefix, repo_page),
            Route(f"{prefix}/tree/{{revision:part}}", repo_page),
            Route(f"{prefix}/commit/{{revision:part}}", commit_page),
            Route(f"{prefix}/blob/{{revision:part}}/{{path:rest}}", blob_page),
        )
    ),
]
