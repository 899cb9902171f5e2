"""The Hub as hubbot uses it: account, list, open, fetch, upload, publish. The only user of huggingface_hub.

Every call is retried where that is safe. Every method may raise the errors that hub/failures.py makes of the
client's: HubUnavailable, RateLimited, Gated, RepoMissing, TokenRejected, HubRefused.
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from huggingface_hub import HfApi, get_token, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import GitCommitInfo

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import HubRefused, HubUnavailable, RepoMissing, TokenRejected, WrongUsage
from hubbot.files.digests import git_blob_id, sha256_of
from hubbot.hub import uploads
from hubbot.hub.answers import Account, account_of, repo_of
from hubbot.hub.model_lists import Listed, list_models
from hubbot.hub.remote import RemoteFiles
from hubbot.hub.repo_states import RepoState, commit_back, read_state
from hubbot.hub.request_budget import FILE_NAME, RequestBudget
from hubbot.hub.retries import Patience
from hubbot.hub.spaces import push_static_space
from hubbot.hub.uploads import Send, Upload
from hubbot.progress import Progress

DOWNLOADS_AT_ONCE = 4
WRONG_DOWNLOADS = 2
# A transfer may take this long, and longer by its size at the slowest rate that is worth waiting for (bytes/s).
TRANSFER_SECONDS = 120.0
SLOWEST = 10_000
# What a child may take to end by itself.
END_SECONDS = 10.0
CONFLICT = 409
_ADDRESS = re.compile(r"https?://[^\s/]+(/\S*)?$")


class Hub:
    """One endpoint with one token; both default to what HF_ENDPOINT, HF_TOKEN or `hf auth login` say.

    Raises WrongUsage for an endpoint that is no http address.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | None = None,
        patience: Patience,
        send: Send = uploads.send,
    ) -> None:
        uploads.quiet_client()
        self._api = HfApi(endpoint=endpoint, token=token, library_name=uploads.LIBRARY)
        if not _ADDRESS.match(self.endpoint):
            raise WrongUsage(
                "the Hub's address is none",
                where=f"HF_ENDPOINT={self.endpoint}",
                hint="such as https://huggingface.co",
            )
        self._token = token
        self._patience = patience
        self._send = send

    @property
    def endpoint(self) -> str:
        """Return the base URL."""
        return str(self._api.endpoint)

    def until(self, cancelled: threading.Event) -> "Hub":
        """Return the same Hub, every call of which ends with Interrupted as soon as `cancelled` is set."""
        return self._with(replace(self._patience, cancelled=cancelled))

    def sending_by(self, send: Send) -> "Hub":
        """Return the same Hub, whose commits are sent by `send`: in a child, where they can be ended."""
        return Hub(endpoint=self._api.endpoint, token=self._token, patience=self._patience, send=send)

    def within_budget(self, budget: RequestBudget) -> "Hub":
        """Return the same Hub, whose requests are taken from `budget`, which other processes may share."""
        return self._with(replace(self._patience, budget=budget))

    def sparing(self, share: float) -> "Hub":
        """Return the same Hub, whose requests leave `share` (0 to 1) of the budget's quota to others."""
        return self._with(replace(self._patience, share=share))

    def _with(self, patience: Patience) -> "Hub":
        return Hub(endpoint=self._api.endpoint, token=self._token, patience=patience, send=self._send)

    def whoami(self) -> Account:
        """Return the token's account, or raise TokenRejected."""
        return self._patience.ask("HF_TOKEN", self._account)

    def _account(self) -> Account:
        return account_of(self._api.whoami())

    def probe(self) -> None:
        """Ask the Hub once for something small, with the token where there is one; raises as every call does."""
        once = replace(self._patience, attempts=1)
        if self._api.token or get_token():
            once.ask("HF_TOKEN", self._account)
        else:
            once.ask("the Hub", lambda: next(iter(self._api.list_models(limit=1)), None))

    def open(self, repo_id: str, revision: str | None) -> RemoteFiles:
        """Return a repo's files at `revision` (default: the newest commit), pinned to a commit sha."""
        return RemoteFiles(self._api, repo_id, revision, self._patience)

    def listing(
        self, *, author: str | None, search: str | None, tags: Sequence[str], until: datetime | None
    ) -> Iterator[Listed]:
        """Yield repos by last change, newest first, down to `until`."""
        for found in list_models(self._api, self._patience, author=author, search=search, tags=tags):
            if until is not None and found.last_modified < until:
                return
            yield found

    def fetch(self, repo: Repo, files: Sequence[FileInfo], folder: Path, progress: Progress) -> None:
        """Download `files` into `folder`; finished files are kept, every known sha256 is checked.

        Raises HubUnavailable where a download differs from its promised size, HubRefused where it has another
        sha256 twice, OutOfRoom on a full disk.
        """
        total = sum(file.size for file in files)
        done = 0
        pool = ThreadPoolExecutor(DOWNLOADS_AT_ONCE)
        try:
            for file in pool.map(lambda file: self._fetch_one(repo, file, folder), files):
                done += file.size
                progress(done, total, file.path)
        finally:
            # After a failure, or when `progress` raises to stop, no further file is begun.
            pool.shutdown(wait=True, cancel_futures=True)

    def _fetch_one(self, repo: Repo, file: FileInfo, folder: Path) -> FileInfo:
        where = f"{repo.id}, {file.path}"
        wrong: list[str] = []

        def download() -> None:
            hf_hub_download(
                repo.id, file.path, revision=repo.revision, local_dir=folder, endpoint=self._api.endpoint,
                token=self._api.token, library_name=uploads.LIBRARY,
            )  # fmt: skip
            path = folder / file.path
            size = path.stat().st_size
            if size != file.size:
                path.unlink()
                raise HubUnavailable(f"the download has {size} bytes, {file.size} were promised", where=where)
            if not _is_promised(path, file):
                path.unlink()
                wrong.append(where)
                kind = "sha256" if file.sha256 else "content"
                if len(wrong) < WRONG_DOWNLOADS:
                    raise HubUnavailable(f"the download has another {kind} than promised", where=where)
                raise HubRefused(
                    f"{len(wrong)} downloads had another {kind} than promised",
                    where=where,
                    hint="the Hub or a proxy sends another file than it says; then `hubbot retry`",
                )

        self._patience.ask(where, download, seconds=_transfer_seconds(file.size))
        return file

    def state(self, repo_id: str, revision: str | None = None) -> RepoState | None:
        """Return a repo with its files as it is now, or was at `revision`; None where there is no such repo."""
        return self._patience.ask(repo_id, lambda: read_state(self._api, repo_id, revision))

    def read_file(self, repo_id: str, path: str, limit: int) -> bytes | None:
        """Return the first `limit` bytes of a small file at the newest commit, or None where there is none."""
        files = self.open(repo_id, None)
        size = next((file.size for file in files.files if file.path == path), None)
        return None if size is None else files.read(path, 0, min(size, limit))

    def create_private(self, repo_id: str) -> bool:
        """Create a private model repo unless that name is taken; return whether it was created."""

        def create() -> bool:
            try:
                self._api.create_repo(repo_id, visibility="private")
            except HfHubHTTPError as error:
                if error.response is None or error.response.status_code != CONFLICT:
                    raise
                return False
            return True

        return self._patience.ask(repo_id, create)

    def set_private(self, repo_id: str, *, private: bool) -> None:
        """Make a repo private or public. Raises HubUnavailable where the Hub says yes and does not do it."""

        def make() -> None:
            self._api.update_repo_settings(repo_id, private=private)
            if bool(self._api.model_info(repo_id).private) != private:
                raise HubUnavailable(
                    f"the Hub did not make it {'private' if private else 'public'}", where=repo_id
                )

        self._patience.ask(repo_id, make)

    def commit(
        self,
        repo_id: str,
        folder: Path,
        names: Sequence[str],
        *,
        message: str,
        parent: str,
        deleted: Sequence[str] = (),
    ) -> str:
        """Send `names` of `folder`, delete `deleted` in one commit upon `parent`; return the newest commit then.

        What the Hub already holds is not sent again. A try whose answer was lost is not repeated once the repo has
        moved on: the caller compares. Raises HubUnavailable where it had moved on before the first try.
        """
        tries = 0

        def send() -> str:
            nonlocal tries
            tries += 1
            head = repo_of(self._api.model_info(repo_id)).revision if tries > 1 else parent
            if head != parent:
                return head
            return self._send(upload)

        seconds = _transfer_seconds(sum((folder / name).stat().st_size for name in names))
        upload = Upload(
            endpoint=self.endpoint, token=self._token or get_token(), repo_id=repo_id,
            folder=str(folder.absolute()), names=names, deleted=deleted, message=message, parent=parent,
            seconds=seconds,
        )  # fmt: skip
        # A child that takes too long ends itself; only what cannot be ended is left alone here.
        return self._patience.ask(repo_id, send, seconds=seconds + END_SECONDS)

    def put_back(self, repo_id: str, before: RepoState, after: RepoState, message: str) -> None:
        """Give a repo its files of `before` again, in one commit upon `after`."""
        self._patience.ask(repo_id, lambda: commit_back(self._api, repo_id, before, after, message))

    def present_name(self, repo_id: str) -> str | None:
        """Return the id that a repo has now, for it may have moved; None where this token sees no such repo."""
        try:
            return self._patience.ask(repo_id, lambda: repo_of(self._api.model_info(repo_id))).id
        except RepoMissing:
            return None

    def head(self, repo_id: str) -> str:
        """Return the newest commit of a repo."""
        return self._patience.ask(repo_id, lambda: repo_of(self._api.model_info(repo_id))).revision

    def is_newer(self, repo_id: str, revision: str, than: str) -> bool:
        """Say whether `revision` comes after `than` in the Hub's list of commits of `repo_id`.

        A commit that the list does not hold (of a branch, or rewritten away) is older than one that it holds.
        """

        def ask() -> list[GitCommitInfo]:
            if commits := self._api.list_repo_commits(repo_id):
                return commits
            raise HubUnavailable("the Hub's answer makes no sense: the repo has no commit", where=repo_id)

        commits = self._patience.ask(repo_id, ask)
        return next((one.commit_id == revision for one in commits if one.commit_id in {revision, than}), False)

    def tag(self, repo_id: str, tag: str, message: str, commit: str) -> None:
        """Put `tag` on `commit`, moving it there if it exists."""

        def put() -> None:
            present = next((each for each in self._api.list_repo_refs(repo_id).tags if each.name == tag), None)
            if present is not None and present.target_commit == commit:
                return
            if present is not None:
                self._api.delete_tag(repo_id, tag=tag)
            self._api.create_tag(repo_id, tag=tag, tag_message=message, revision=commit)

        self._patience.ask(repo_id, put)

    def collect(self, title: str, namespace: str, repo_id: str) -> None:
        """Add a repo to the namespace's collection of that title, creating it if needed; twice does no harm."""

        def add() -> None:
            collection = self._api.create_collection(title, namespace=namespace, exists_ok=True)
            try:
                self._api.add_collection_item(collection.slug, repo_id, "model", exists_ok=True)
            except HfHubHTTPError as error:
                if error.response is None or error.response.status_code != CONFLICT:
                    raise

        self._patience.ask(f"collection {title!r}", add)

    def push_space(self, repo_id: str, folder: Path) -> str:
        """Make the static Space `repo_id` show the site in `folder`; return its commit; raises as spaces.py."""
        nbytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return self._patience.ask(
            repo_id, lambda: push_static_space(self._api, repo_id, folder), seconds=_transfer_seconds(nbytes)
        )

    def require_token(self) -> None:
        """Raise TokenRejected where there is no token at all; the Hub is not asked."""
        if not (self._api.token or get_token()):
            raise TokenRejected(
                "there is no token",
                where="HF_TOKEN",
                hint="set HF_TOKEN, or run `hf auth login`; then `hubbot retry`",
            )


def default_hub(data_dir: Path | None = None) -> Hub:
    """Return the Hub that HF_ENDPOINT names, with the token of HF_TOKEN or `hf auth login`.

    Its requests are taken from the budget that all processes of `data_dir` share, where one is given.
    """
    budget = RequestBudget(None if data_dir is None else data_dir / FILE_NAME, time.time)
    return Hub(patience=Patience(budget=budget))


def _is_promised(path: Path, file: FileInfo) -> bool:
    if file.sha256:
        return sha256_of(path) == file.sha256
    return file.blob_id is None or git_blob_id(path) == file.blob_id


def _transfer_seconds(nbytes: int) -> float:
    return TRANSFER_SECONDS + nbytes / SLOWEST
