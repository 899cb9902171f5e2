"""The sha256 of an artifact's files: which files count as the repo's own, and which the surroundings put there."""

import re
from pathlib import Path

from hubbot.files.digests import sha256_of

_OTHERS = re.compile(r"\.(?:gitattributes|gitignore)$|\.(?:cache|git)/|(?:.*/)?(?:\.DS_Store$|\._)")


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of the folder, by path.

    Some dot files are not the repo's: the Hub adds .gitattributes, its client .cache, a Mac .DS_Store. Nor is
    what Python compiled when somebody loaded the repo here; see `_is_leftover`.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _OTHERS.match(name) and not _is_leftover(path):
            found[name] = sha256_of(path)
    return found


def _is_leftover(path: Path) -> bool:
    """Say whether Python compiled this file here, from a source of the very minute that its header names.

    A compiled file that came with the repo would have to guess when it is downloaded, or be of the kind that
    Python runs without asking for the time (PEP 552); that kind stays in the list, as foreign code.
    """
    if path.parent.name != "__pycache__" or path.suffix != ".pyc":
        return False
    with path.open("rb") as file:
        header = file.read(8)
    return len(header) == 8 and header[4:] == b"\0\0\0\0"
