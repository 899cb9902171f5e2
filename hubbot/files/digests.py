"""The sha256 of a file, read in blocks. It never writes."""

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
