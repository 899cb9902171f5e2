"""The short-lived rights of a xet client: to upload, or to read the files of one commit.

Never knows accounts: whoever asks for a token was let in by access.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from hubbot.devhub.signed_urls import Signer
from hubbot.devhub.stored_objects import KINDS, Address


@dataclass(frozen=True, slots=True)
class XetRight:
    """What a token allows: `read` or `write`, at a commit of a repo."""

    scope: str
    address: Address
    commit: str


def make_token(signer: Signer, right: XetRight) -> tuple[str, int]:
    """Return a token and when it expires, in seconds since 1970."""
    path = "/".join((right.scope, *right.address, right.commit))
    query = signer.query(path)
    return f"{path}?{query}", int(parse_qs(query)["expires"][0])


def read_token(signer: Signer, token: str) -> XetRight | None:
    """Return what a token allows, or None if it was not made here or has expired."""
    path, _, query = token.partition("?")
    values = parse_qs(query)
    expires, signature = values.get("expires", [""])[0], values.get("signature", [""])[0]
    if not signer.accepts(path, expires=expires, signature=signature):
        return None
    scope, kind, namespace, name, commit = path.split("/")
    assert kind in KINDS
    return XetRight(scope, Address(kind, namespace, name), commit)
