"""The dashboard's token and what is derived from it: session cookies and the tokens of forms.

Sessions are signed, not stored: another token ends them all. Every comparison takes constant time.
"""

import hashlib
import hmac
import os
import re
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from hubbot.errors import WrongUsage

FILE_NAME = "web-token"
SESSION = timedelta(days=14)
_VISITOR = re.compile(r"[A-Za-z0-9_-]{16,64}")


def read_or_make(folder: Path) -> str:
    """Return the token of the data folder, made at the first call in a file that only its owner can read.

    Raises WrongUsage where others may read the file, or where it holds no token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return _read(path)


def same(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def sign_session(token: str, now: datetime) -> str:
    """Return the value of a session cookie that is good for two weeks."""
    ends = str(int((now + SESSION).timestamp()))
    return f"{ends}.{_digest(token, f'session {ends}')}"


def is_session(token: str, cookie: str, now: datetime) -> bool:
    """Say whether a cookie was signed with this token and has not ended."""
    ends, _, digest = cookie.partition(".")
    genuine = same(digest, _digest(token, f"session {ends}"))
    return genuine and int(ends) > now.timestamp()


def new_visitor() -> str:
    """Return the value of a visitor's cookie, to which the tokens of forms belong."""
    return secrets.token_urlsafe(24)


def is_visitor(cookie: str) -> bool:
    """Say whether a cookie looks like `new_visitor` made it."""
    return _VISITOR.fullmatch(cookie) is not None


def form_token(token: str, visitor: str) -> str:
    """Return what every form of this visitor must carry."""
    return _digest(token, f"form {visitor}")


def _digest(token: str, text: str) -> str:
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise WrongUsage("others may read the dashboard's token", where=str(path), hint=f"chmod 600 {path}")
    token = path.read_text("ascii", errors="replace").strip()
    if len(token) < 32 or not token.isascii():
        raise WrongUsage("the token cannot be read", where=str(path), hint="delete the file; a new one is made")
    return token
