"""Presigned upload addresses: the client PUTs large files without headers, so the address itself is the right.

The key lives beside the data, so that addresses outlive a restart. Never knows what is uploaded.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path

_VALID_SECONDS = 24 * 3600


class Signer:
    """Signs and checks addresses with a key kept in a file."""

    def __init__(self, key_file: Path, *, now: Callable[[], datetime]) -> None:
        key_file.parent.mkdir(parents=True, exist_ok=True)
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_bytes(secrets.token_bytes(32))
        self._key = key_file.read_bytes()
        self._now = now

    def query(self, path: str) -> str:
        """Return the query that makes a path a presigned address for a day."""
        expires = int(self._now().timestamp()) + _VALID_SECONDS
        return f"expires={expires}&signature={self._sign(path, str(expires))}"

    def accepts(self, path: str, *, expires: str, signature: str) -> bool:
        """Say whether the query belongs to the path and has not expired."""
        if not hmac.compare_digest(signature.encode(), self._sign(path, expires).encode()):
            return False
        return int(expires) >= self._now().timestamp()

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), sha256).hexdigest()
