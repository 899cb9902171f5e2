"""What is published of a source already, and whether a new commit of it changes more than the cards.

It reads the Hub alone and changes nothing.
"""

import re
from collections.abc import Iterable, Sequence

from hubbot.cards.made_variants import Made, read_made
from hubbot.checkpoints import Checkpoint
from hubbot.errors import HubbotError, TryLater
from hubbot.finishing import REPORT
from hubbot.hub.client import Hub
from hubbot.hub.repo_states import RepoState
from hubbot.jobs.targets import Target
from hubbot.lifecycle import Job
from hubbot.marks import MAX_BYTES, recorded
from hubbot.sources.licences import is_licence_file, licence_files
from hubbot.steps import publish

# No conversion reads these. Anything else that changed may change the result.
_MEDIA = re.compile(
    r".*\.(?:md|png|jpe?g|gif|webp|svg|mp4|mov|webm|mp3|wav|flac|pdf)|\.gitattributes", re.IGNORECASE
)
_SHOWN = frozenset({"bytes", "bits_per_weight", "recipe", "layout", "dropped", "unquantized", "versions"})


def published_of(hub: Hub, repo_ids: Iterable[str]) -> list[Made]:
    """Return the variants in those of `repo_ids` that are hubbot's, as their repos tell them now."""
    found = []
    for repo_id in dict.fromkeys(repo_ids):
        state = hub.state(repo_id)
        mark = publish.read_mark(hub, repo_id, state) if state else None
        if state is not None and mark is not None and set(mark) >= _SHOWN:
            found.append(read_made(repo_id, mark, hub.read_file(repo_id, REPORT, MAX_BYTES), state.files))
    return found


def is_card_only(hub: Hub, job: Job, targets: Sequence[Target], checkpoint: Checkpoint) -> bool:
    """Say whether every variant is published whole, from a commit that a conversion reads no differently.

    `checkpoint` is the source at the job's commit.
    """
    marks = [target.mark for target in targets]
    revisions = {mark["source"]["revision"] for mark in marks if mark is not None}
    moved = any(mark is not None and mark["source"]["repo"] != job.repo for mark in marks)
    if None in marks or len(revisions) != 1:
        return False
    (there,) = revisions
    # The same commit is converted anew only where somebody asks for it, so as to mend it.
    if there == job.revision and not moved:
        return False
    if not all(map(_is_whole, targets)):
        return False
    terms = {file.path for file in licence_files(job.repo, checkpoint.card, checkpoint.files)}
    if any(terms - {file.path for file in recorded(mark)} for mark in marks if mark is not None):
        return False
    return there == job.revision or not any(path in terms or counts(path) for path in _differing(hub, job, there))


def _is_whole(target: Target) -> bool:
    assert target.mark is not None
    assert target.state is not None
    files = recorded(target.mark)
    stored = target.state.files
    return bool(files) and all(
        file.path in stored
        and stored[file.path].size == file.size
        and stored[file.path].sha256 in {None, file.sha256}
        for file in files
    )


def _differing(hub: Hub, job: Job, there: str) -> list[str]:
    """Return the files that differ between two commits of the source; something that counts where one is gone."""
    try:
        before, after = hub.state(job.repo, there), hub.state(job.repo, job.revision)
    except TryLater:
        raise
    except HubbotError:
        return ["everything"]
    if before is None or after is None:
        return ["everything"]
    return [path for path in {*before.files, *after.files} if not _is_same(path, before, after)]


def _is_same(path: str, before: RepoState, after: RepoState) -> bool:
    return path in before.files and before.files[path].is_same(after.files.get(path))


def counts(path: str) -> bool:
    """Say whether a file of that path may change what a conversion makes, or how a repo loads."""
    return is_licence_file(path) or not _MEDIA.fullmatch(path)
