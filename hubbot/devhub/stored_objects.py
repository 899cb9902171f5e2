"""The things the Hub keeps: addresses, entries of a tree, commits, repos; and their JSON on disk.

Knows their shape and how a commit gets its sha. Never touches a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

KINDS = ("models", "datasets", "spaces")
MAIN = "main"


class Address(NamedTuple):
    """Where a repo lives: `models`, `datasets` or `spaces`, then namespace and name."""

    kind: str
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """Return `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Return the path of the repo's page; models have no prefix."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"

    @property
    def type(self) -> str:
        """Return the singular that the API uses in bodies: `model`, `dataset`, `space`."""
        return self.kind.removesuffix("s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a tree: `oid` is the git blob's sha1 (of the pointer, for LFS), `sha256` marks LFS."""

    size: int
    oid: str
    sha256: str | None = None

    @property
    def etag(self) -> str:
        """Return what the client compares: the sha256 of an LFS file, else the git sha1."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        """Return the size in bytes of the LFS pointer that git would hold."""
        assert self.sha256 is not None
        return len(lfs_pointer(self.sha256, self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A snapshot of all paths, its parent, and who made it when."""

    sha: str
    parent: str | None
    author: str
    title: str
    message: str
    date: str
    tree: Mapping[str, Entry]

    def to_json(self) -> dict[str, Any]:
        """Return the commit as JSON values, the sha included."""
        return {"sha": self.sha, **_commit_body(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Commit:
        """Read what to_json wrote."""
        tree = {path: Entry(**entry) for path, entry in value["tree"].items()}
        return cls(**{**value, "tree": tree})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """The state of one repo: its settings and where its refs point."""

    address: Address
    oid: str
    created_at: str
    private: bool = False
    gated: str | None = None
    downloads: int = 0
    likers: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    branches: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    pulls: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the repo as JSON values."""
        names = [name for name in self.__dataclass_fields__ if name != "address"]
        values = {name: getattr(self, name) for name in names}
        return {"address": list(self.address), **values}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Repo:
        """Read what to_json wrote."""
        return cls(
            **{
                **value,
                "address": Address(*value["address"]),
                "likers": tuple(value["likers"]),
                "granted": tuple(value["granted"]),
            }
        )


def new_commit(
    *, parent: str | None, author: str, title: str, message: str, date: str, tree: Mapping[str, Entry]
) -> Commit:
    """Make a commit whose sha is a function of all that is in it, as git's is."""
    fields = {"parent": parent, "author": author, "title": title, "message": message, "date": date}
    draft = Commit(sha="", tree=dict(sorted(tree.items())), **fields)  # type: ignore[arg-type]
    text = json.dumps(_commit_body(draft), sort_keys=True)
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Commit(sha=sha, tree=draft.tree, **fields)  # type: ignore[arg-type]


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the text that git holds in place of a large file (git-lfs spec, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def git_oid(content: bytes) -> str:
    """Return git's sha1 of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def short_id(*parts: str) -> str:
    """Return 24 hex digits that stand for the parts, in the form of the Hub's database ids."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def wire_time(moment: datetime) -> str:
    """Write a moment as the client's parser wants it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _commit_body(commit: Commit) -> dict[str, Any]:
    tree = {
        path: {"size": entry.size, "oid": entry.oid, "sha256": entry.sha256} for path, entry in commit.tree.items()
    }
    return {
        "parent": commit.parent,
        "author": commit.author,
        "title": commit.title,
        "message": commit.message,
        "date": commit.date,
        "tree": tree,
    }
