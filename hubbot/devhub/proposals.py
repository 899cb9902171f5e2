"""Discussions and pull requests as records beside their repo; a pull request also has a ref `refs/pr/N`.

Knows their numbering and events. Never speaks HTTP, apart from refusing what does not exist.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hubbot.devhub.access import Visit
from hubbot.devhub.json_store import JsonStore
from hubbot.devhub.stored_objects import MAIN, short_id
from hubbot.devhub.wire_errors import not_found


def every_proposal(found: Visit) -> list[dict[str, Any]]:
    """Return the repo's discussions and pull requests, newest first."""
    return sorted(_store(found).every(), key=lambda one: int(one["num"]), reverse=True)


def find_proposal(found: Visit, number: str) -> dict[str, Any]:
    """Return a discussion or pull request; raises a 404 WireError."""
    record = _store(found).find(number)
    if record is None:
        raise not_found("This discussion does not exist")
    return record


def open_discussion(found: Visit, *, title: str, text: str, author: str) -> dict[str, Any]:
    """Start a discussion."""
    with found.hub.lock:
        return _open(found, title=title, text=text, author=author, pull_request=False)


def open_proposal(found: Visit, *, title: str, text: str, start: str, author: str) -> dict[str, Any]:
    """Start a pull request whose ref begins at a commit."""
    with found.hub.lock:
        record = _open(found, title=title, text=text, author=author, pull_request=True)
        repo = found.current()
        found.hub.repos.save(replace(repo, pulls={**repo.pulls, f"refs/pr/{record['num']}": start}))
        return record


def add_event(
    found: Visit, record: dict[str, Any], kind: str, author: str, data: dict[str, Any]
) -> dict[str, Any]:
    """Append an event to a discussion and return it."""
    when = found.hub.timestamp()
    event = {
        "id": short_id(str(record["num"]), kind, when, str(len(record["events"]))),
        "type": kind,
        "createdAt": when,
        "author": {"name": author},
        "data": data,
    }
    record["events"].append(event)
    _store(found).put(str(record["num"]), record)
    return event


def comment_data(text: str) -> dict[str, Any]:
    """Return what a comment event carries."""
    return {"edited": False, "hidden": False, "latest": {"raw": text, "html": ""}}


def _open(found: Visit, *, title: str, text: str, author: str, pull_request: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "num": len(_store(found).every()) + 1,
        "title": title,
        "author": author,
        "createdAt": found.hub.timestamp(),
        "status": "draft" if pull_request else "open",
        "isPullRequest": pull_request,
        "base": f"refs/heads/{MAIN}",
        "mergeCommitId": None,
        "events": [],
    }
    add_event(found, record, "comment", author, comment_data(text))
    return record


def _store(found: Visit) -> JsonStore:
    return JsonStore(found.hub.repos.discussions_folder(found.address))
