"""Who is let through a repo's gate: grants by its owners."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse

from hubbot.devhub.access import visit_to_write
from hubbot.devhub.bodies import read_object
from hubbot.devhub.raw_path_routes import REPO_API, Route
from hubbot.devhub.stored_objects import short_id
from hubbot.devhub.wire_errors import bad_request


async def list_accepted(request: Request) -> JSONResponse:
    """GET .../user-access-request/{status}: nobody waits or is turned away here, some are let in."""
    found = visit_to_write(request)
    accepted = found.repo.granted if request.path_params["status"] == "accepted" else ()
    when = found.repo.created_at
    return JSONResponse(
        [
            {
                "requestId": short_id(*found.address, name),
                "user": {"user": name, "fullname": name},
                "status": "accepted",
                "timestamp": when,
            }
            for name in accepted
        ]
    )


async def grant(request: Request) -> JSONResponse:
    """POST .../user-access-request/grant: let a user in without being asked. Raises a 400 WireError."""
    body = await read_object(request)
    found = visit_to_write(request)
    user = body.get("user")
    if user not in {account.name for account in found.hub.accounts.values()}:
        raise bad_request("This user does not exist")
    with found.hub.lock:
        repo = found.current()
        granted = tuple(sorted({*repo.granted, str(user)}))
        found.hub.repos.save(replace(repo, granted=granted))
    return JSONResponse({})


routes = [
    Route(f"{REPO_API}/user-access-request/grant", grant, methods=["POST"]),
    Route(f"{REPO_API}/user-access-request/{{status:part}}", list_accepted),
]
