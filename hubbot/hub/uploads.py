"""The sending of one commit: the only call of the Hub's client that no event and no time limit can stop.

Its transfers run in threads of their own, of Rust where they go over xet; only the end of a process ends them. It
takes and returns plain data, so that it can run in a child. It retries nothing; hub/client.py does.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from huggingface_hub import HfApi
from huggingface_hub.utils import (
    build_hf_headers,
    disable_progress_bars,
    get_session,
    hf_raise_for_status,
    logging,
)

from hubbot.hub.failures import is_refused_by_xet, translated
from hubbot.hub.repo_states import commit_files
from hubbot.hub.time_limits import limit_requests
from hubbot.progress import Progress

LIBRARY = "hubbot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One commit to make on a Hub: `names` of `folder` are sent and `deleted` removed, upon `parent`."""

    endpoint: str
    # Never shown: an upload may stand in a traceback.
    token: str | None = field(repr=False)
    repo_id: str
    folder: str
    names: Sequence[str]
    deleted: Sequence[str]
    message: str
    parent: str
    seconds: float


Send: TypeAlias = Callable[[Upload], str]


def send(upload: Upload) -> str:
    """Make the commit and return the newest commit then; raises as commit_files and hub/failures.py."""
    api = HfApi(endpoint=upload.endpoint, token=upload.token, library_name=LIBRARY)
    with translated(upload.repo_id):
        try:
            return commit_files(
                api,
                upload.repo_id,
                Path(upload.folder),
                upload.names,
                upload.deleted,
                upload.message,
                upload.parent,
            )
        except (RuntimeError, ConnectionError) as error:
            if is_refused_by_xet(error):
                _ask_why(api, upload)
            raise


def _ask_why(api: HfApi, upload: Upload) -> None:
    """Ask for what hf_xet was refused, so that the Hub's own words are raised."""
    address = f"{upload.endpoint}/api/models/{upload.repo_id}/xet-write-token/main"
    hf_raise_for_status(get_session().get(address, headers=build_hf_headers(token=api.token)))


def upload(request: dict[str, Any], progress: Progress) -> dict[str, str]:
    """Make the commit of an Upload given as plain data, in a process of its own; raises as `send`."""
    quiet_client()
    asked = Upload(**request)
    progress(0, 1, f"sending {len(asked.names)} files")
    return {"revision": send(asked)}


def quiet_client() -> None:
    """Keep the client's own bars and commentary away: what goes wrong leaves as one HubbotError."""
    disable_progress_bars()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    limit_requests()


def as_request(upload: Upload) -> dict[str, Any]:
    """Return an Upload as plain data, its token included."""
    return asdict(upload)
