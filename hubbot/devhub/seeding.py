"""Puts a local folder into the Hub as a repo's only commit, without going over the wire.

Knows nothing of accounts. Never changes a repo whose content and settings are what they should be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hubbot.devhub.allowed_names import file_path, is_large, repo_address
from hubbot.devhub.blobs import Blobs, large_entry, read_chunks
from hubbot.devhub.hubs import Hub
from hubbot.devhub.stored_objects import MAIN, Entry, Repo, wire_time


def seed_folder(
    hub: Hub,
    repo_id: str,
    folder: Path,
    *,
    gated: str | None,
    private: bool,
    message: str,
    created_at: datetime | None,
) -> str:
    """Make `repo_id` hold exactly the files below `folder` and return the head's commit sha.

    A repo that holds them already gets no commit. Raises a 400 WireError for a name the Hub does not allow.
    """
    namespace, _, name = repo_id.partition("/")
    address = repo_address("models", namespace, name)
    tree = dict(_entries(hub.blobs, folder))
    date = hub.timestamp() if created_at is None else wire_time(created_at)
    with hub.lock:
        repo = hub.repos.find(address) or hub.empty_repo(address, created_at=date, private=private)
        wanted = replace(repo, gated=gated, private=private)
        if MAIN in repo.branches and _holds(hub, repo, tree):
            return (wanted if wanted == repo else hub.repos.save(wanted)).branches[MAIN]
        parent = repo.branches.get(MAIN)
        made = hub.append(wanted, MAIN, tree=tree, author=namespace, title=message, parent=parent, date=date)
        return made.branches[MAIN]


def _holds(hub: Hub, repo: Repo, tree: dict[str, Entry]) -> bool:
    return dict(hub.head(repo).tree) == tree


def _entries(blobs: Blobs, folder: Path) -> Iterator[tuple[str, Entry]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = file_path(path.relative_to(folder).as_posix())
            yield name, _entry(blobs, path, large=is_large(name, path.stat().st_size))


def _entry(blobs: Blobs, path: Path, *, large: bool) -> Entry:
    if large:
        present = _present(blobs, path)
        if present is not None:
            return present
    return blobs.add_file(path, large=large)


def _present(blobs: Blobs, path: Path) -> Entry | None:
    """Return the entry of a large file whose bytes are here already: reading is cheaper than copying."""
    digest = hashlib.sha256()
    for chunk in read_chunks([path]):
        digest.update(chunk)
    entry = large_entry(digest.hexdigest(), path.stat().st_size)
    return entry if blobs.find_large(digest.hexdigest()) == entry else None
