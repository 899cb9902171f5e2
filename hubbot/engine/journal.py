"""Record which weight files of a conversion are complete, with sha256, so that a killed one goes on from there.

A journal belongs to one plan; what another plan left, and files that are not as recorded, are deleted.
"""

import json
import shutil
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from hubbot.checkpoints import FileInfo
from hubbot.files.atomic_folders import write_file
from hubbot.folders import file_info

NAME = ".journal.json"


class Journal:
    """The complete files in one variant's folder; opening it deletes everything else there.

    Recorded files are hashed and compared, unless the journal was last written by the same `run`: a run is one
    undisturbed series of calls, and a run that was killed never comes back under its name. `identity` names the
    plan.
    """

    def __init__(self, folder: Path, identity: str, *, run: str | None = None) -> None:
        self.folder = folder
        self._identity = identity
        self._run = run
        self._writing = threading.Lock()
        self.files: dict[str, FileInfo] = {}
        trusted, recorded = self._recorded()
        for file in recorded:
            path = folder / file.path
            if path.is_file() and (trusted or file_info(path, file.path) == file):
                self.files[file.path] = file
        if not self.files:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in self.files:
                path.unlink()
        self._save()

    @property
    def nbytes(self) -> int:
        """Return the bytes of the complete files."""
        return sum(file.size for file in self.files.values())

    def complete(self, file: FileInfo) -> None:
        """Record that a file is written and synced."""
        with self._writing:
            self.files[file.path] = file
            self._save()

    def close(self) -> None:
        """Remove the journal: the folder is finished."""
        (self.folder / NAME).unlink(missing_ok=True)

    def _recorded(self) -> tuple[bool, list[FileInfo]]:
        with suppress(OSError, ValueError, TypeError, KeyError):
            record = json.loads((self.folder / NAME).read_text(encoding="utf-8"))
            if record["identity"] == self._identity:
                trusted = self._run is not None and record.get("run") == self._run
                return trusted, [FileInfo(**file) for file in record["files"]]
        return False, []

    def _save(self) -> None:
        files = [asdict(file) for file in self.files.values()]
        record = {"identity": self._identity, "run": self._run, "files": files}
        write_file(self.folder / NAME, json.dumps(record).encode())
