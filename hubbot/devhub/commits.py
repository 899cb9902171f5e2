"""How the operations of a commit change a tree.

Knows the rules (a file is not a folder, what is deleted must exist). Pure: never touches a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hubbot.devhub.stored_objects import Entry
from hubbot.devhub.wire_errors import WireError, bad_request


@dataclass(frozen=True, slots=True)
class Put:
    """Write a file."""

    path: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Remove a file that must exist."""

    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    """Remove all files below a folder that must exist."""

    path: str


Operation = Put | DeleteFile | DeleteFolder


def apply_operations(tree: Mapping[str, Entry], operations: Iterable[Operation]) -> dict[str, Entry]:
    """Return the tree after the operations, applied in order.

    Raises a 404 WireError for a deletion of what is not there, and a 400 for a file that is also a folder.
    """
    after = dict(tree)
    for operation in operations:
        match operation:
            case Put(path, entry):
                after[path] = entry
            case DeleteFile(path):
                _delete(after, [path] if path in after else [], path)
            case DeleteFolder(path):
                _delete(after, [name for name in after if name.startswith(f"{path}/")], path)
    _refuse_files_as_folders(after)
    return after


def _delete(tree: dict[str, Entry], names: list[str], asked: str) -> None:
    if not names:
        raise WireError(404, f"Cannot delete {asked!r}: it does not exist", code="EntryNotFound")
    for name in names:
        del tree[name]


def _refuse_files_as_folders(tree: Mapping[str, Entry]) -> None:
    for path in tree:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if (folder := "/".join(parts[:depth])) in tree:
                raise bad_request(f"{folder!r} cannot be a file and a folder")
