"""One repo's description, at its main branch or at a revision."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import visit
from hubbot.devhub.descriptions import describe, select_info, unknown_expansions
from hubbot.devhub.paging import asked_for, switched_on
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import MAIN
from hubbot.devhub.wire_errors import bad_request


async def repo_info(request: Request) -> JSONResponse:
    """GET /api/{kind}/{id}[/revision/{rev}]; readable also where the files are gated. Raises a 400 WireError."""
    found = visit(request)
    expand = asked_for(request, "expand")
    if unknown := unknown_expansions(expand):
        raise bad_request(f"Invalid expand: {', '.join(unknown)}")
    commit = found.commit(request.path_params.get("revision", MAIN))
    about = describe(found.repo, commit, found.hub.metadata(commit), blobs=switched_on(request, "blobs"))
    selected = select_info(about, expand)
    if switched_on(request, "securityStatus"):
        selected["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
    return JSONResponse(selected)


routes = [
    Route(REPO_API, repo_info),
    Route(f"{REPO_API}/revision/{{revision:part}}", repo_info),
]
