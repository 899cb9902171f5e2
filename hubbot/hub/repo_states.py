"""What a repo on the Hub is at its newest commit, and the single commits that change it or put it back.

A commit names its parent, so that nobody's change in between is overwritten. It decides and retries nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from hubbot.errors import HubUnavailable
from hubbot.files.digests import git_blob_id
from hubbot.hub import answers
from hubbot.hub.failures import said_by_the_hub

Operation: TypeAlias = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete
MOVED_ON = (409, 412)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a repo; the Hub knows the sha256 of what it stores by content, of anything else git's blob id."""

    path: str
    size: int
    sha256: str | None
    blob_id: str

    def is_file(self, local: Path, sha256: str) -> bool:
        """Say whether this is the file at `local`, whose sha256 is given; raises OSError if it cannot be read."""
        if self.sha256 is not None:
            return self.sha256 == sha256
        return local.stat().st_size == self.size and git_blob_id(local) == self.blob_id

    def is_same(self, other: "RemoteFile | None") -> bool:
        """Say whether two files on the Hub have the same content."""
        return other is not None and (self.sha256, self.blob_id) == (other.sha256, other.blob_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoState:
    """A repo at its newest commit `revision`; `id` is its present name, also when asked for by an old one."""

    id: str
    revision: str
    private: bool
    files: Mapping[str, RemoteFile]


def read_state(api: HfApi, repo_id: str, revision: str | None = None) -> RepoState | None:
    """Return a repo as it is now, or was at `revision`; None where there is no such repo."""
    try:
        info = api.model_info(repo_id, revision=revision)
        entries = list(api.list_repo_tree(info.id, recursive=True, revision=info.sha))
    except RepositoryNotFoundError:
        return None
    repo, found = answers.repo_of(info), [answers.file_of(one) for one in entries if isinstance(one, RepoFile)]
    files = {
        file.path: RemoteFile(path=file.path, size=file.size, sha256=file.sha256, blob_id=file.blob_id or "")
        for file in found
    }
    return RepoState(id=repo.id, revision=repo.revision, private=bool(info.private), files=files)


def commit_files(
    api: HfApi, repo_id: str, folder: Path, names: Sequence[str], deleted: Sequence[str], message: str, parent: str
) -> str:
    """Send `names` of `folder` and delete `deleted`, in one commit upon `parent`; return the newest commit then.

    The client's upload_folder would make several commits under xet, and double one whose answer is lost. Raises
    HubUnavailable where the repo has moved on from `parent`.
    """
    # Made anew for each attempt: the client notes in them what it has sent.
    operations: list[Operation] = [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in names),
        *(CommitOperationDelete(path_in_repo=name) for name in deleted),
    ]
    try:
        return api.create_commit(repo_id, operations, commit_message=message, parent_commit=parent).oid
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code not in MOVED_ON:
            raise
        raise HubUnavailable(
            f"the repo was changed by somebody else meanwhile{said_by_the_hub(error)}",
            where=repo_id,
            hint="the job is tried again by itself",
        ) from error


def commit_back(api: HfApi, repo_id: str, before: RepoState, after: RepoState, message: str) -> None:
    """Give a repo its files of `before` again, in one commit upon `after`."""
    operations: list[Operation] = [
        *(
            CommitOperationCopy(src_path_in_repo=path, path_in_repo=path, src_revision=before.revision)
            for path, file in before.files.items()
            if not file.is_same(after.files.get(path))
        ),
        *(CommitOperationDelete(path_in_repo=path) for path in after.files if path not in before.files),
    ]
    api.create_commit(repo_id, operations, commit_message=message, parent_commit=after.revision)
