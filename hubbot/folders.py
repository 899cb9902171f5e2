"""A checkpoint in a folder of this machine, as RepoFiles. It never writes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import RepoMissing
from hubbot.files.digests import sha256_of

IDENTITY_BYTES = 1 << 20
# Of a weight file less is enough: its size and the beginning of its header, where a hundred are to be looked at.
WEIGHT_IDENTITY_BYTES = 1 << 16
WEIGHTS = (".safetensors", ".bin")


class Folder:
    """The files of one local folder; its revision is a digest of their names, sizes and first bytes.

    Raises RepoMissing where there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise RepoMissing("there is no such folder", where=str(path), hint="give a folder or a repo id")
        self._root = path.resolve()
        self._links: dict[str, str] = {}
        self._files = tuple(self._list())
        self._repo: Repo | None = None
        self.requests = 0
        self.bytes_read = 0

    @property
    def repo(self) -> Repo:
        """Return the folder as a repo: its path, and a digest that changes with its config or headers."""
        if self._repo is None:
            sha = hashlib.sha256()
            for file in self._files:
                sha.update(f"{file.path}\0{file.size}\0".encode())
                limit = WEIGHT_IDENTITY_BYTES if file.path.endswith(WEIGHTS) else IDENTITY_BYTES
                with (self._root / file.path).open("rb") as opened:
                    sha.update(opened.read(limit))
            self._repo = Repo(id=str(self._root), revision=f"local-{sha.hexdigest()[:40]}")
        return self._repo

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """Return the folder's regular files, sorted by name."""
        return self._files

    @property
    def links(self) -> Mapping[str, str]:
        """Return the links of the folder that lead out of it or to nothing."""
        return self._links

    @property
    def gated(self) -> bool:
        """Return False: who can read the folder may."""
        return False

    @property
    def private(self) -> bool:
        """Return False: a folder has no visibility of its own."""
        return False

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of a file of the folder."""
        self.requests += 1
        with (self._root / path).open("rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        self.bytes_read += len(data)
        return data

    def _holds(self, path: Path) -> bool:
        # A link may not lead out of the folder, except to the blobs of the Hub's cache that it is a snapshot of.
        blobs = self._root.parent.parent / "blobs"
        return path.is_relative_to(self._root) or (
            self._root.parent.name == "snapshots" and path.is_relative_to(blobs)
        )

    def _list(self) -> list[FileInfo]:
        found = []
        for path in sorted(self._root.rglob("*")):
            name = path.relative_to(self._root).as_posix()
            if any(part.startswith(".") for part in name.split("/")):
                continue
            if path.is_file() and self._holds(path.resolve()):
                found.append(FileInfo(path=name, size=path.stat().st_size))
            elif path.is_symlink() and not path.is_dir():
                self._links[name] = "that leads out of the folder" if path.is_file() else "to nothing"
        return found


def file_info(path: Path, name: str) -> FileInfo:
    """Return the file at `path` as a repo lists it under `name`: with size and sha256."""
    return FileInfo(path=name, size=path.stat().st_size, sha256=sha256_of(path))
