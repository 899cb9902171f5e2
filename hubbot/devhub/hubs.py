"""The Hub itself, apart from HTTP: its folders, its accounts, its clock, and the changes to its repos.

Every change happens under one lock, so that seeding from another thread and a commit cannot cross.
Never decides who may do what: see access.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import RLock

from hubbot.devhub.accounts import Account
from hubbot.devhub.blobs import Blobs
from hubbot.devhub.commits import Operation, apply_operations
from hubbot.devhub.json_store import JsonStore
from hubbot.devhub.metadata import Metadata, derive_metadata
from hubbot.devhub.signed_urls import Signer
from hubbot.devhub.stored_objects import MAIN, Address, Commit, Entry, Repo, new_commit, short_id, wire_time
from hubbot.devhub.stored_repos import Repos
from hubbot.devhub.wire_errors import WireError, repo_not_found
from hubbot.devhub.xet_store import XetStore

_ATTRIBUTES = b"".join(
    b"*%s filter=lfs diff=lfs merge=lfs -text\n" % suffix for suffix in (b".safetensors", b".bin", b".gguf")
)


class Hub:
    """Everything that the routes share."""

    def __init__(
        self, root: Path, *, base_url: str, accounts: Mapping[str, Account], now: Callable[[], datetime]
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.accounts = dict(accounts)
        self.now = now
        self.lock = RLock()
        self.repos = Repos(root / "repos")
        self.blobs = Blobs(root / "blobs")
        self.xet = XetStore(root / "xet", self.blobs)
        self.collections = JsonStore(root / "collections")
        self.webhooks = JsonStore(root / "webhooks")
        self.signer = Signer(root / "upload.key", now=now)
        self._metadata: dict[tuple[str, ...], Metadata] = {}

    def timestamp(self) -> str:
        """Return the present moment as the wire writes it."""
        return wire_time(self.now())

    def create_repo(self, address: Address, *, author: str, private: bool) -> Repo:
        """Make a repo whose first commit holds .gitattributes, as on the real Hub.

        Raises a 409 WireError, with the url the client looks for, if it exists.
        """
        url = f"{self.base_url}/{address.url_path}"
        with self.lock:
            if self.repos.find(address) is not None:
                raise WireError(409, "You already created this model repo", body={"url": url})
            tree = {".gitattributes": self.blobs.add_regular(_ATTRIBUTES)}
            repo = self.empty_repo(address, created_at=self.timestamp(), private=private)
            return self.append(repo, MAIN, tree=tree, author=author, title="initial commit", parent=None)

    def empty_repo(self, address: Address, *, created_at: str, private: bool) -> Repo:
        """Return the record of a repo without commits; nothing is written."""
        oid = short_id(*address, created_at)
        return Repo(address=address, oid=oid, created_at=created_at, private=private)

    def commit(
        self,
        repo: Repo,
        ref: str,
        operations: Iterable[Operation],
        *,
        expected: str | None,
        author: str,
        title: str,
        message: str,
    ) -> Commit:
        """Apply operations on top of a branch or pull request.

        Raises a 412 WireError if `expected` is not the present head, and what apply_operations raises.
        """
        with self.lock:
            current = self.current(repo)
            head = head_of(current, ref)
            if expected is not None and expected != head:
                raise WireError(412, "A commit has happened since. Please refresh and try again.")
            tree = apply_operations(self.repos.commit(repo.address, head).tree, operations)
            after = self.append(current, ref, tree=tree, author=author, title=title, message=message, parent=head)
            return self.repos.commit(repo.address, head_of(after, ref))

    def append(
        self,
        repo: Repo,
        ref: str,
        *,
        tree: Mapping[str, Entry],
        author: str,
        title: str,
        parent: str | None,
        message: str = "",
        date: str | None = None,
    ) -> Repo:
        """Write a commit and point a ref at it."""
        made = new_commit(
            parent=parent,
            author=author,
            title=title,
            message=message,
            date=date or self.timestamp(),
            tree=tree,
        )
        self.repos.add_commit(repo.address, made)
        return self.repos.save(point(repo, ref, made.sha))

    def current(self, repo: Repo) -> Repo:
        """Read a repo again; raises a 404 RepoNotFound WireError if it is gone."""
        found = self.repos.find(repo.address)
        if found is None:
            raise repo_not_found()
        return found

    def head(self, repo: Repo) -> Commit:
        """Return the newest commit of the main branch."""
        return self.repos.commit(repo.address, repo.branches[MAIN])

    def metadata(self, commit: Commit) -> Metadata:
        """Return what the files of a commit say about the model; derived once per set of files."""
        key = tuple(f"{path}:{entry.etag}" for path, entry in commit.tree.items())
        if key not in self._metadata:
            self._metadata[key] = derive_metadata(commit.tree, self.blobs)
        return self._metadata[key]


def head_of(repo: Repo, ref: str) -> str:
    """Return the commit sha that a branch name or `refs/pr/N` points to."""
    return repo.pulls[ref] if ref in repo.pulls else repo.branches[ref]


def point(repo: Repo, ref: str, sha: str) -> Repo:
    """Return the repo with a branch or `refs/pr/N` pointing to a commit."""
    if ref.startswith("refs/pr/"):
        return replace(repo, pulls={**repo.pulls, ref: sha})
    return replace(repo, branches={**repo.branches, ref: sha})
