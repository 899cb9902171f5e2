"""Who is asking, for which repo, and whether that is allowed: the one gate in front of every route.

Knows how a refusal looks to each kind of visitor. Never changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from hubbot.devhub.accounts import Account, may_open, may_see, may_write
from hubbot.devhub.allowed_names import is_repo_name
from hubbot.devhub.hubs import Hub
from hubbot.devhub.stored_objects import Address, Commit, Repo
from hubbot.devhub.wire_errors import (
    Moved,
    forbidden,
    gated,
    invalid_token,
    repo_not_found,
    revision_not_found,
    unauthorized,
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that found its repo, and who made it."""

    hub: Hub
    account: Account | None
    repo: Repo

    @property
    def address(self) -> Address:
        """Return the repo's address."""
        return self.repo.address

    def current(self) -> Repo:
        """Read the repo again, for a change under the lock; raises a 404 WireError if it is gone."""
        return self.hub.current(self.repo)

    def author(self) -> str:
        """Return the account's name; raises a 401 WireError for the anonymous."""
        if self.account is None:
            raise unauthorized()
        return self.account.name

    def commit(self, revision: str) -> Commit:
        """Return the commit behind a revision; raises a 404 RevisionNotFound WireError."""
        sha = self.hub.repos.resolve(self.repo, revision)
        if sha is None:
            raise revision_not_found(revision)
        return self.hub.repos.commit(self.address, sha)


def hub_of(request: Request) -> Hub:
    """Return the Hub that a request is for."""
    hub = request.app.state.hub
    assert isinstance(hub, Hub)
    return hub


def account_of(request: Request) -> Account | None:
    """Return who is asking, None for the anonymous; raises a 401 WireError for an unknown token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        return None
    account = hub_of(request).accounts.get(token.strip()) if scheme.lower() == "bearer" else None
    if account is None:
        raise invalid_token()
    return account


def require_account(request: Request) -> Account:
    """Return who is asking; raises a 401 WireError for the anonymous."""
    account = account_of(request)
    if account is None:
        raise unauthorized()
    return account


def require_owner(request: Request, namespace: str) -> Account:
    """Return who is asking if they may write to a namespace; raises a 401 or 403 WireError."""
    account = require_account(request)
    if not account.owns(namespace):
        raise forbidden(f"You don't have the rights to write under the namespace {namespace!r}")
    return account


def require_owned(request: Request, address: Address) -> Repo:
    """Return a repo named in a body if the visitor may change it; raises a 401, 403 or 404 WireError."""
    account, repo = require_account(request), hub_of(request).repos.find(address)
    if repo is None or not may_see(account, repo):
        raise repo_not_found()
    require_owner(request, address.namespace)
    return repo


def visit(request: Request) -> Visit:
    """Find the repo that the path names.

    Raises a 404 RepoNotFound WireError for one that is missing or hidden, and Moved for an old name.
    """
    hub, account = hub_of(request), account_of(request)
    params = request.path_params
    address = Address(params.get("kind", "models"), params["namespace"], params["name"])
    if not (is_repo_name(address.namespace) and is_repo_name(address.name)):
        raise repo_not_found()
    repo = hub.repos.find(address)
    if repo is None:
        _send_after_moved(request, hub, account, address)
    if repo is None or not may_see(account, repo):
        raise repo_not_found()
    return Visit(hub, account, repo)


def visit_to_open(request: Request) -> Visit:
    """Find a repo whose files the visitor may read; raises also the WireErrors of a gate."""
    found = visit(request)
    if not may_open(found.account, found.repo):
        raise gated(found.address.id, found.hub.base_url, known=found.account is not None)
    return found


def visit_to_write(request: Request) -> Visit:
    """Find a repo that the visitor may change; raises also a 401 or 403 WireError."""
    found = visit(request)
    if not may_write(found.account, found.repo):
        found.author()
        raise forbidden(f"You don't have the rights to change {found.address.id}")
    return found


def visit_to_transfer(request: Request) -> Visit:
    """Find a repo that the visitor may upload bytes for; raises also a 401 or 403 WireError.

    Owners may, and everybody who might propose: a commit decides later what becomes of the bytes.
    """
    found = visit_to_open(request)
    found.author()
    if found.repo.private and not may_write(found.account, found.repo):
        raise forbidden("You don't have the rights to upload here")
    return found


def _send_after_moved(request: Request, hub: Hub, account: Account | None, old: Address) -> None:
    target = hub.repos.moved_to(old)
    repo = None if target is None else hub.repos.find(target)
    if target is None or repo is None or not may_see(account, repo):
        return
    path = request.scope["path"].replace(f"/{old.id}", f"/{target.id}", 1)
    query = f"?{request.url.query}" if request.url.query else ""
    raise Moved(f"{hub.base_url}{path}{query}")
