"""Who has an account here, and what an account may do to a repo.

Knows rights as pure questions. Never reads a request and never refuses: see access.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubbot.devhub.stored_objects import Repo


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the Hub with the organisations that the user may write to."""

    name: str
    orgs: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        """Say whether the account may write under a namespace."""
        return namespace == self.name or namespace in self.orgs


def may_write(account: Account | None, repo: Repo) -> bool:
    """Say whether the account may change the repo."""
    return account is not None and account.owns(repo.address.namespace)


def may_see(account: Account | None, repo: Repo) -> bool:
    """Say whether the account may know that the repo exists."""
    return not repo.private or may_write(account, repo)


def may_open(account: Account | None, repo: Repo) -> bool:
    """Say whether the account may read the repo's files, gate included."""
    if not may_see(account, repo):
        return False
    if repo.gated is None or may_write(account, repo):
        return True
    return account is not None and account.name in repo.granted
