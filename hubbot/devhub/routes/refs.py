"""Branches and tags: list, make, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import visit, visit_to_write
from hubbot.devhub.allowed_names import ref_name
from hubbot.devhub.bodies import read_object
from hubbot.devhub.paging import switched_on
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import MAIN
from hubbot.devhub.wire_errors import WireError, bad_request, forbidden, revision_not_found


async def list_refs(request: Request) -> JSONResponse:
    """GET .../refs."""
    repo = visit(request).repo
    found = {
        "branches": _listed(repo.branches, "refs/heads/"),
        "converts": [],
        "tags": _listed(repo.tags, "refs/tags/"),
    }
    if switched_on(request, "include_prs"):
        found["pullRequests"] = _listed(repo.pulls, "")
    return JSONResponse(found)


async def create_branch(request: Request) -> JSONResponse:
    """POST .../branch/{branch}. Raises a 409 WireError."""
    body = await read_object(request)
    found = visit_to_write(request)
    name = ref_name(request.path_params["ref"])
    start = found.commit(str(body.get("startingPoint") or MAIN)).sha
    with found.hub.lock:
        repo = found.current()
        if name in repo.branches:
            raise WireError(409, f"Reference already exists: refs/heads/{name}")
        found.hub.repos.save(replace(repo, branches={**repo.branches, name: start}))
    return JSONResponse({})


async def delete_branch(request: Request) -> JSONResponse:
    """DELETE .../branch/{branch}. Raises a 403 WireError."""
    found = visit_to_write(request)
    name = request.path_params["ref"]
    if name == MAIN:
        raise forbidden("The main branch cannot be deleted")
    with found.hub.lock:
        repo = found.current()
        found.hub.repos.save(replace(repo, branches=_without(repo.branches, name)))
    return JSONResponse({})


async def create_tag(request: Request) -> JSONResponse:
    """POST .../tag/{revision}: tags the revision with the name in the body. Raises a 400 or 409 WireError."""
    body = await read_object(request)
    found = visit_to_write(request)
    if not isinstance(body.get("tag"), str):
        raise bad_request("A tag needs a name")
    name = ref_name(body["tag"])
    target = found.commit(request.path_params["ref"]).sha
    with found.hub.lock:
        repo = found.current()
        if name in repo.tags:
            raise WireError(409, f"Tag already exists: refs/tags/{name}")
        found.hub.repos.save(replace(repo, tags={**repo.tags, name: target}))
    return JSONResponse({})


async def delete_tag(request: Request) -> JSONResponse:
    """DELETE .../tag/{tag}."""
    found = visit_to_write(request)
    with found.hub.lock:
        repo = found.current()
        found.hub.repos.save(replace(repo, tags=_without(repo.tags, request.path_params["ref"])))
    return JSONResponse({})


def _listed(refs: Mapping[str, str], prefix: str) -> list[dict[str, str]]:
    return [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in refs.items()]


def _without(refs: Mapping[str, str], name: str) -> dict[str, str]:
    if name not in refs:
        raise revision_not_found(name)
    return {other: sha for other, sha in refs.items() if other != name}


routes = [
    Route(f"{REPO_API}/refs", list_refs),
    Route(f"{REPO_API}/branch/{{ref:rest}}", create_branch, methods=["POST"]),
    Route(f"{REPO_API}/branch/{{ref:rest}}", delete_branch, methods=["DELETE"]),
    Route(f"{REPO_API}/tag/{{ref:rest}}", create_tag, methods=["POST"]),
    Route(f"{REPO_API}/tag/{{ref:rest}}", delete_tag, methods=["DELETE"]),
]
