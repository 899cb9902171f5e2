"""One repo on the Hub at one commit, as RepoFiles: sizes from the tree, bytes by HTTP range."""

import threading
from collections.abc import Mapping

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import HubUnavailable
from hubbot.files.digests import git_blob_id_of
from hubbot.hub import answers
from hubbot.hub.retries import Patience

TIMEOUT_SECONDS = 30.0


class RemoteFiles:
    """The files of one Hub repo; every read is one range request and is counted."""

    def __init__(self, api: HfApi, repo_id: str, revision: str | None, patience: Patience) -> None:
        self._api = api
        self._patience = patience
        self._counting = threading.Lock()
        self.requests = 1
        self.bytes_read = 0

        def ask() -> tuple[Repo, tuple[FileInfo, ...], bool, bool]:
            info = api.model_info(repo_id, revision=revision, files_metadata=True)
            return answers.repo_of(info), answers.files_of(info), bool(info.gated), bool(info.private)

        self._repo, self._files, self._gated, self._private = patience.ask(repo_id, ask)
        self._by_path = {file.path: file for file in self._files}

    @property
    def repo(self) -> Repo:
        """Return the repo at its commit sha."""
        return self._repo

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """Return every file with its size, and its sha256 where the Hub stores it by content."""
        return self._files

    @property
    def links(self) -> Mapping[str, str]:
        """Return nothing: the Hub follows no links."""
        return {}

    @property
    def gated(self) -> bool:
        """Say whether access must be granted by the owner."""
        return self._gated

    @property
    def private(self) -> bool:
        """Say whether the repo is hidden from the public."""
        return self._private

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of a file, never more, whatever the server sends."""
        if stop <= start:
            return b""
        data = self._patience.ask(f"{self._repo.id}, {path}", lambda: self._checked(path, start, stop))
        with self._counting:
            self.requests += 1
            self.bytes_read += len(data)
        return data

    def _checked(self, path: str, start: int, stop: int) -> bytes:
        data, file = self._range(path, start, stop), self._by_path.get(path)
        whole = file is not None and start == 0 and len(data) == file.size
        if whole and file is not None and file.blob_id and git_blob_id_of(data) != file.blob_id:
            raise HubUnavailable("it arrived other than the Hub has it", where=f"{self._repo.id}, {path}")
        return data

    def _range(self, path: str, start: int, stop: int) -> bytes:
        url = hf_hub_url(self._repo.id, path, revision=self._repo.revision, endpoint=self._api.endpoint)
        headers = build_hf_headers(token=self._api.token, library_name="hubbot")
        headers["Range"] = f"bytes={start}-{stop - 1}"
        data = bytearray()
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response:
            hf_raise_for_status(response)
            # A server that ignores Range sends the whole file from its first byte.
            skip = start if response.status_code == 200 else 0
            for chunk in response.iter_bytes():
                kept = chunk[skip:]
                skip = max(0, skip - len(chunk))
                data += kept
                if len(data) >= stop - start:
                    break
        return bytes(data[: stop - start])
