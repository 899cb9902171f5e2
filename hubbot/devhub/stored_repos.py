"""Repos on disk: one small JSON file of state each, one immutable JSON file per commit.

A ref moves by replacing the state file, so a commit is there entirely or not at all.
Never decides who may do what, and never speaks HTTP.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hubbot.devhub.blobs import write_atomically
from hubbot.devhub.stored_objects import KINDS, Address, Commit, Repo

_SHA = re.compile(r"[0-9a-f]{40}")


class Repos:
    """All repos under one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._moves = root / "moves.json"
        root.mkdir(parents=True, exist_ok=True)

    def find(self, address: Address) -> Repo | None:
        """Return the repo at an address, else None."""
        path = self._folder(address) / "repo.json"
        return Repo.from_json(json.loads(path.read_text())) if path.exists() else None

    def every(self, kind: str) -> Iterator[Repo]:
        """Yield all repos of a kind, by id."""
        for path in sorted((self._root / kind).glob("*/*/repo.json")):
            yield Repo.from_json(json.loads(path.read_text()))

    def save(self, repo: Repo) -> Repo:
        """Write the repo's state; the last write of a commit."""
        folder = self._folder(repo.address)
        (folder / "commits").mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "repo.json", json.dumps(repo.to_json(), indent=1))
        return repo

    def remove(self, address: Address) -> None:
        """Delete a repo with its history; its blobs stay, as others may share them."""
        folder = self._folder(address)
        # Without its state file the repo is gone, even if the process dies before the rest is.
        (folder / "repo.json").unlink()
        shutil.rmtree(folder)

    def move(self, repo: Repo, target: Address) -> Repo:
        """Give a repo another address and remember the old one."""
        old = self._folder(repo.address)
        new = self._folder(target)
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)
        moves = self._read_moves()
        moves["/".join(repo.address)] = list(target)
        write_atomically(self._moves, json.dumps(moves, indent=1))
        return self.save(replace(repo, address=target))

    def moved_to(self, address: Address) -> Address | None:
        """Return where the repo that once lived here lives now, else None."""
        moves = self._read_moves()
        seen = {"/".join(address)}
        target = moves.get("/".join(address))
        while target is not None and self.find(Address(*target)) is None:
            name = "/".join(target)
            target = None if name in seen else moves.get(name)
            seen.add(name)
        return None if target is None else Address(*target)

    def add_commit(self, address: Address, commit: Commit) -> None:
        """Write a commit that no ref points to yet."""
        folder = self._folder(address) / "commits"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{commit.sha}.json", json.dumps(commit.to_json()))

    def commit(self, address: Address, sha: str) -> Commit:
        """Return a commit that exists."""
        return _read_commit(self._folder(address) / "commits" / f"{sha}.json")

    def resolve(self, repo: Repo, revision: str) -> str | None:
        """Return the commit sha behind a branch, tag, `refs/...` name or sha, else None."""
        for refs, prefix in ((repo.branches, "refs/heads/"), (repo.tags, "refs/tags/"), (repo.pulls, "")):
            found = refs.get(revision) or refs.get(revision.removeprefix(prefix))
            if found is not None:
                return found
        if _SHA.fullmatch(revision) is None:
            return None
        return revision if (self._folder(repo.address) / "commits" / f"{revision}.json").exists() else None

    def history(self, address: Address, sha: str) -> Iterator[Commit]:
        """Yield a commit and its ancestors, newest first."""
        following: str | None = sha
        while following is not None:
            commit = self.commit(address, following)
            yield commit
            following = commit.parent

    def discussions_folder(self, address: Address) -> Path:
        """Return the folder of the repo's discussions; it moves and dies with the repo."""
        return self._folder(address) / "discussions"

    def _folder(self, address: Address) -> Path:
        assert address.kind in KINDS
        return self._root / address.kind / address.namespace / address.name

    def _read_moves(self) -> dict[str, list[str]]:
        return dict(json.loads(self._moves.read_text())) if self._moves.exists() else {}


@lru_cache(maxsize=512)
def _read_commit(path: Path) -> Commit:
    return Commit.from_json(json.loads(path.read_text()))
