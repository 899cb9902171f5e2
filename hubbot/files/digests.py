"""The digests of a file, read in blocks: sha256, and the id by which git knows it. It never writes."""

import hashlib
from pathlib import Path
from typing import Final

BLOCK: Final = 1 << 22


def sha256_of(path: Path) -> str:
    """Return the sha256 of the file at `path` in hexadecimal; raises OSError where it cannot be read."""
    with path.open("rb") as file:
        sha = hashlib.sha256()
        while block := file.read(BLOCK):
            sha.update(block)
    return sha.hexdigest()


def git_blob_id_of(data: bytes) -> str:
    """Return the id that git gives this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def git_blob_id(path: Path) -> str:
    """Return the id that git gives the content of the file at `path`; raises OSError where it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        sha = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := file.read(BLOCK):
            sha.update(block)
    return sha.hexdigest()
