"""A folder as a static Space: one commit that replaces what an earlier one put there.

It touches no Space that hubbot did not make, and no file that others added to one.
"""

import json
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from hubbot.errors import NotOurs
from hubbot.files.digests import sha256_of
from hubbot.hub.repo_states import Operation

MARK = "hubbot-catalog.json"
_CARD = """---
title: {title}
sdk: static
pinned: false
---
What hubbot has converted to MLX and published, with what was measured. Made by `hubbot catalog --publish`.
"""


def push_static_space(api: HfApi, repo_id: str, folder: Path) -> str:
    """Make the static Space `repo_id` show the site in `folder`; return its commit, a new one if it differs.

    Raises NotOurs where the Space exists and is somebody else's.
    """
    before: dict[str, str] = {}
    if api.repo_exists(repo_id, repo_type="space"):
        before = _recorded(api, repo_id)
    else:
        api.create_repo(repo_id, repo_type="space", space_sdk="static", exist_ok=True)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    digests = {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
    head = str(api.repo_info(repo_id, repo_type="space").sha)
    if digests == before:
        return head
    mark = json.dumps({"made_by": "hubbot", "files": digests}, indent=1).encode()
    card = _CARD.format(title=json.dumps(repo_id.rpartition("/")[2])).encode()
    operations: list[Operation] = [
        *(
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name)
            for name, sha in digests.items()
            if before.get(name) != sha
        ),
        CommitOperationAdd(path_in_repo="README.md", path_or_fileobj=card),
        CommitOperationAdd(path_in_repo=MARK, path_or_fileobj=mark),
        *(CommitOperationDelete(path_in_repo=name) for name in before if name not in digests),
    ]
    made = api.create_commit(
        repo_id, operations, repo_type="space", commit_message="What is published", parent_commit=head
    )
    return str(made.oid)


def _recorded(api: HfApi, repo_id: str) -> dict[str, str]:
    """Return the files of an earlier catalog with their sha256; empty in a Space that holds nothing yet."""
    try:
        path = hf_hub_download(
            repo_id, MARK, repo_type="space", endpoint=api.endpoint, token=api.token, library_name="hubbot"
        )
        found = json.loads(Path(path).read_bytes())
        return {str(name): str(sha) for name, sha in found["files"].items()}
    except (EntryNotFoundError, ValueError, KeyError, AttributeError) as error:
        raise NotOurs(
            "the Space exists and holds no catalog of hubbot's",
            where=repo_id,
            hint="choose another name, or delete it",
        ) from error
