"""hubbot's own model files, published with families whose mlx-lm class computes something else.

It knows their names, bytes and sha256 without importing them; it never runs code and knows no other file.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "runtime" / "models"
# The package they are imported from where hubbot itself needs the class.
PACKAGE = "hubbot.runtime.models"


@cache
def names() -> tuple[str, ...]:
    """Return the file names of all extensions, sorted."""
    return tuple(sorted(path.name for path in FOLDER.glob("*.py") if path.name != "__init__.py"))


@cache
def content(name: str) -> bytes:
    """Return the bytes of the extension of that file name, exactly as they are published; KeyError if none is."""
    if name not in names():
        raise KeyError(name)
    return (FOLDER / name).read_bytes()


def digest(name: str) -> str:
    """Return the sha256 of the extension of that file name; KeyError if there is none."""
    return hashlib.sha256(content(name)).hexdigest()


def is_own(name: object, sha256: str | None) -> bool:
    """Say whether a file of that name and sha256 is one of hubbot's own extensions, byte for byte."""
    return name in names() and digest(str(name)) == sha256


def foreign(digests: Mapping[str, str]) -> list[str]:
    """Return, of the files in `digests` (path to sha256), those that can run and are not hubbot's own."""
    return sorted(path for path, sha in digests.items() if path.endswith(RUNNABLE) and not is_own(path, sha))


# Python source, and the pickles that torch's files are.
RUNNABLE = (".py", ".pyc", ".pkl", ".bin", ".pt", ".pth")
