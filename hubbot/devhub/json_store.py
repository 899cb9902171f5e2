"""Small JSON records in a folder, one file each: collections, webhooks, discussions.

Never knows what the records mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hubbot.devhub.blobs import write_atomically


class JsonStore:
    """The records under one folder; a key may hold no path separator."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> dict[str, Any] | None:
        """Return a record, else None."""
        path = self._path(key)
        if path is None or not path.exists():
            return None
        return dict(json.loads(path.read_text()))

    def every(self) -> list[dict[str, Any]]:
        """Return all records by key."""
        return [json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json"))]

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Write a record."""
        path = self._path(key)
        assert path is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(record, indent=1))

    def drop(self, key: str) -> None:
        """Delete a record if it is there."""
        path = self._path(key)
        if path is not None:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path | None:
        known = key.isascii() and key.isalnum() and len(key) <= 64
        return self._folder / f"{key}.json" if known else None
