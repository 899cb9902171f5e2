"""Sends a commit's files in a child process, which ends when the work is stopped, whatever the Hub does.

The child alone of all is given the token: by its pipe, never in its environment or on its command line.
"""

import os
import threading
from collections.abc import Mapping
from fnmatch import fnmatchcase

from hubbot.hub.uploads import Send, Upload, as_request
from hubbot.jobs import child
from hubbot.settings import Settings

# How the user's machine reaches the Hub, and how the client is tuned; names of secrets are never passed.
_NETWORK = (
    "HF_HUB_*", "HF_XET_*", "HF_DEBUG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_*",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip


def upload_in_child(settings: Settings, cancelled: threading.Event) -> Send:
    """Return the way to send a commit from a child, which is ended as soon as `cancelled` is set.

    The returned function raises Interrupted then, ChildDied if the child dies, else what hub/uploads.py raises.
    """
    home = settings.data_dir / "child-home"

    def send(upload: Upload) -> str:
        home.mkdir(parents=True, exist_ok=True)
        answer = child.run(
            "upload",
            as_request(upload),
            env=os.environ,
            also=network_of(os.environ),
            hf_home=home,
            timeout_seconds=upload.seconds,
            # The client tells nothing while it sends.
            stall_seconds=upload.seconds,
            memory_bytes=settings.child_bytes,
            cancelled=cancelled,
            progress=_nobody,
        )
        return str(answer["revision"])

    return send


def network_of(env: Mapping[str, str]) -> dict[str, str]:
    """Return what a child needs to reach the Hub as its parent does."""
    known = {
        name: value
        for name, value in env.items()
        if any(fnmatchcase(name.upper(), pattern) for pattern in _NETWORK) and not child.is_secret(name)
    }
    return {"HF_HUB_OFFLINE": "0"} | known


def _nobody(done: int, total: int, label: str) -> None:
    """Take the progress of an upload, of which the client tells nothing."""
