"""Which repo names, ref names and file paths are allowed, and which files go to LFS.

Every name that comes from outside passes here before it becomes part of a path on disk.
"""

from __future__ import annotations

import re

from hubbot.devhub.stored_objects import KINDS, Address
from hubbot.devhub.wire_errors import bad_request

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".npz", ".onnx", ".msgpack", ".h5")
LFS_FROM_BYTES = 1024 * 1024 + 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/@+-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def repo_address(kind: str, namespace: str, name: str) -> Address:
    """Check a repo's place; raises a 400 WireError if a part is no valid name."""
    if kind not in KINDS:
        raise bad_request(f"Unknown repo type {kind!r}")
    for part in (namespace, name):
        if not is_repo_name(part):
            raise bad_request(f"Invalid repo name {part!r}")
    return Address(kind, namespace, name)


def is_repo_name(name: str) -> bool:
    """Say whether a namespace or a name is spelled as the Hub allows."""
    if _NAME.fullmatch(name) is None:
        return False
    return ".." not in name and "--" not in name and not name.endswith((".git", ".", "-"))


def ref_name(name: str) -> str:
    """Check a branch or tag name; raises a 400 WireError."""
    bad_part = any(part in {"", ".", ".."} or part.endswith(".lock") for part in name.split("/"))
    if _REF.fullmatch(name) is None or bad_part or ".." in name:
        raise bad_request(f"Invalid ref name {name!r}")
    return name


def file_path(path: object) -> str:
    """Check the path of a file in a repo; raises a 400 WireError if it could leave the repo."""
    if not isinstance(path, str) or not path or len(path) > 1024:
        raise bad_request("A path must be a string of 1 to 1024 characters")
    if "\\" in path or any(ord(character) < 32 for character in path):
        raise bad_request(f"Invalid path {path!r}")
    if any(part in {"", ".", "..", ".git"} for part in path.split("/")):
        raise bad_request(f"Invalid path {path!r}")
    return path


def sha256_name(oid: object) -> str:
    """Check an LFS object id; raises a 400 WireError."""
    if not isinstance(oid, str) or _SHA256.fullmatch(oid) is None:
        raise bad_request("An LFS oid is 64 lower-case hex digits")
    return oid


def xet_hash_name(text: object) -> str:
    """Check the hash of a xorb, a chunk or a file; raises a 400 WireError."""
    if not isinstance(text, str) or _SHA256.fullmatch(text) is None:
        raise bad_request("A xet hash is 64 lower-case hex digits")
    return text


def is_large(path: str, size: int) -> bool:
    """Say whether a file is kept as an LFS object; empty files never are."""
    return size > 0 and (path.lower().endswith(LFS_SUFFIXES) or size >= LFS_FROM_BYTES)
