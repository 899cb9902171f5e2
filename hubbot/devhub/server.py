"""The Hub as a thread in this process: bind a port on the loopback, serve, seed, stop.

Never listens on another interface.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import uvicorn

from hubbot.devhub.accounts import Account
from hubbot.devhub.app import create_app
from hubbot.devhub.faults import Breakable, Faults
from hubbot.devhub.hubs import Hub
from hubbot.devhub.seeding import seed_folder

_LOOPBACK = "127.0.0.1"
_GRACE_SECONDS = 2


class EmbeddedHub:
    """A Hub that runs between `with` and the end of its block; `accounts` maps tokens to accounts."""

    def __init__(
        self,
        root: Path,
        *,
        accounts: Mapping[str, Account],
        port: int = 0,
        faults: Faults | None = None,
    ) -> None:
        self._root = root
        self._accounts = accounts
        self._port = port
        self._faults = faults
        self._thread: Thread | None = None
        self.url = ""

    def __enter__(self) -> Self:
        listener = _listen(self._port)
        self.url = f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
        try:
            app = create_app(self._root, base_url=self.url, accounts=self._accounts, faults=self._faults)
        except BaseException:
            listener.close()
            raise
        self._hub: Hub = app.state.hub
        self._server = uvicorn.Server(
            uvicorn.Config(
                Breakable(app),
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        # The socket listens already: whoever connects before the thread is up waits, and is served.
        self._thread = Thread(target=self._server.run, args=([listener],), name="devhub", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join()

    def seed(
        self,
        repo_id: str,
        folder: Path,
        *,
        gated: bool = False,
        private: bool = False,
        message: str = "Upload folder",
        created_at: datetime | None = None,
    ) -> str:
        """Make a model repo hold exactly the files of a local folder and return its head's commit sha.

        Does nothing where it holds them already. Raises WireError for a name the Hub does not allow.
        """
        return seed_folder(
            self._hub,
            repo_id,
            folder,
            gated="auto" if gated else None,
            private=private,
            message=message,
            created_at=created_at,
        )


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's delay of 40 ms an answer off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A hub that was killed comes back on its old port at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_LOOPBACK, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
