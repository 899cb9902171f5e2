"""What an answer of the Hub must be before it is used: portals, proxies and broken Hubs answer 200 with anything.

It reads what the client has made of an answer, and asks for nothing. Every function raises HubUnavailable where a
value is not of the kind that it must be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelInfo
from huggingface_hub.hf_api import RepoFile

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import HubUnavailable

_SHA = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a token belongs to, and the organisations it may act for."""

    name: str
    orgs: tuple[str, ...]
    role: str

    def may_write(self, namespace: str) -> bool:
        """Say whether the token may make repos under a user or organisation, as far as the Hub tells."""
        return self.role != "read" and namespace in {self.name, *self.orgs}


def account_of(answer: object) -> Account:
    """Return the account that whoami-v2 tells of."""
    told = _mapping(answer, "the account")
    token = _mapping(_mapping(told.get("auth") or {}, "auth").get("accessToken") or {}, "accessToken")
    orgs = told.get("orgs") or []
    if not isinstance(orgs, list):
        raise _nonsense("orgs", orgs)
    writable = [
        one for one in (_mapping(each, "an organisation") for each in orgs) if one.get("roleInOrg") != "read"
    ]
    return Account(
        name=_text(told.get("name"), "the account's name"),
        orgs=tuple(_text(one.get("name"), "an organisation's name") for one in writable),
        role=_text(token.get("role", "unknown"), "the token's role"),
    )


def repo_of(info: ModelInfo) -> Repo:
    """Return a repo's present id and commit; an empty commit where the Hub tells of none."""
    return Repo(id=_text(info.id, "the repo's id"), revision="" if info.sha is None else _sha(info.sha))


def files_of(info: ModelInfo) -> tuple[FileInfo, ...]:
    """Return the files that were told with a repo, with sizes in bytes and what names their content."""
    return tuple(
        FileInfo(
            path=_text(file.rfilename, "a file's name"),
            size=_size(file.size or 0),
            sha256=_text(file.lfs.sha256, "a file's sha256") if file.lfs else None,
            blob_id=None if file.lfs or file.blob_id is None else _text(file.blob_id, "a file's blob id"),
        )
        for file in info.siblings or []
    )


def file_of(entry: RepoFile) -> FileInfo:
    """Return a file of a repo's tree; every one of them has a blob id."""
    return FileInfo(
        path=_text(entry.path, "a file's name"),
        size=_size(entry.size),
        sha256=_text(entry.lfs.sha256, "a file's sha256") if entry.lfs else None,
        blob_id=_text(entry.blob_id, "a file's blob id"),
    )


def _sha(value: object) -> str:
    if not isinstance(value, str) or not _SHA.fullmatch(value):
        raise _nonsense("the repo's commit", value)
    return value


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _nonsense("a file's size", value)
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise _nonsense(what, value)
    return value


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _nonsense(what, value)
    return value


def _nonsense(what: str, value: object) -> HubUnavailable:
    return HubUnavailable(f"the Hub's answer makes no sense: {what} is {repr(value)[:60]}")
