"""Put an approved artifact on the Hub: private until every file is right, idempotent at every point.

It takes nothing but an Approved, touches no repo that hubbot did not make and no file that others added, never
hides what is public to replace it, and keeps what came from a gated or private source private.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbot import plain_json
from hubbot.artifacts import Approved, Publication
from hubbot.checkpoints import Checkpoint, Repo
from hubbot.checks.readers.hashed_files import hash_files
from hubbot.errors import (
    HubbotError,
    HubRefused,
    HubUnavailable,
    NeedsHuman,
    NotOurs,
    RepoMissing,
    StructureMismatch,
    Superseded,
)
from hubbot.files.digests import sha256_of
from hubbot.finishing import ABOUT, CARD, CARD_FACTS, DRAWN, PICTURES, REPORT
from hubbot.hub.client import Hub
from hubbot.hub.repo_states import RepoState
from hubbot.marks import MARK, MAX_BYTES, parse_mark, recorded, same_origin

KEPT_REMOTE = frozenset({".gitattributes"})
TAG_DIGITS = 12
# The Hub's own limit for "name/model".
LONGEST_ID = 96
Mark = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One commit to come: the files of a folder that it sends, with their sha256, and those that it deletes."""

    names: Mapping[str, str]
    deleted: Sequence[str]


def publish(
    approved: Approved,
    checkpoint: Checkpoint,
    *,
    hub: Hub,
    repo_id: str,
    collection: str | None,
    allow_older: bool = False,
    begun: bool = False,
    on_begin: Callable[[], None] = lambda: None,
) -> Publication:
    """Publish the artifact as `repo_id` and return the publication; calling it again changes nothing.

    `on_begin` is called before the repo is made; `begun` says that it was, so that an empty repo is hubbot's own.
    Raises NotOurs where the remote repo or a file that would be replaced is somebody's own, Superseded where it
    was made from a newer commit of the source and not `allow_older`, StructureMismatch where the folder is not
    what was judged, HubUnavailable where a first publication does not come out right, HubRefused where a
    replacement does not (the former files are put back), and what the Hub's door raises.
    """
    artifact = approved.artifact
    folder = Path(artifact.path)
    digests = _unchanged_files(approved, folder)
    private = checkpoint.gated or checkpoint.private
    state = hub.state(repo_id)
    if state is None:
        on_begin()
        state = _begun(hub, repo_id)
        mark = None
    elif not set(state.files) - KEPT_REMOTE:
        refuse_empty(state, begun=begun)
        mark = None
    else:
        mark = own_mark(hub, repo_id, artifact.source, artifact.variant, state)
        if not allow_older:
            refuse_older(hub, artifact.source.id, artifact.source.revision, mark["source"]["revision"])
    if private and not state.private:
        hub.set_private(repo_id, private=True)
    change = _change(hub, state, mark, folder, digests)
    message = f"{artifact.variant} of {artifact.source.id}@{artifact.source.revision[:TAG_DIGITS]}"
    state = _commit(hub, state, change, folder, message, is_first=mark is None)
    if state.private != private:
        hub.set_private(repo_id, private=private)
    return Publication(
        source=artifact.source,
        variant=artifact.variant,
        repo_id=repo_id,
        revision=state.revision,
        private=private,
        url=f"{hub.endpoint}/{repo_id}",
        owed=pay_courtesies(
            hub,
            repo_id,
            source=artifact.source,
            commit=state.revision,
            collection=None if private else collection,
        ),
    )


def renew_card(hub: Hub, repo_id: str, folder: Path, *, source: Repo, variant: str) -> RepoState:
    """Replace card and report of a published repo by those of `folder` where they say something new.

    Returns the repo as it is then; raises as `publish` does.
    """
    state = _existing(hub, repo_id)
    mark = own_mark(hub, repo_id, source, variant, state)
    digests = {name: sha256_of(folder / name) for name in (CARD, REPORT, *PICTURES) if (folder / name).is_file()}
    change = _card_change(hub, state, folder, digests, _others_pictures(hub, state))
    converted = mark["source"]["revision"][:TAG_DIGITS]
    message = f"Card of {variant}, converted from {source.id}@{converted}"
    return _commit(hub, state, change, folder, message, is_first=False)


def pay_courtesies(hub: Hub, repo_id: str, *, source: Repo, commit: str, collection: str | None) -> dict[str, str]:
    """Tag `commit` with the source's, put the repo into the collection; neither holds a publication back.

    Returns what was refused, and why.
    """
    owed: dict[str, str] = {}
    courtesies: dict[str, Callable[[], None]] = {
        "tag": lambda: hub.tag(
            repo_id, f"source-{source.revision[:TAG_DIGITS]}", f"converted from {source.id}", commit
        )
    }
    if collection:
        courtesies["collection"] = lambda: hub.collect(collection, repo_id.partition("/")[0], repo_id)
    for name, pay in courtesies.items():
        try:
            pay()
        except HubbotError as error:
            owed[name] = str(error)
    return owed


def target_id(org: str | None, pattern: str, source: str, variant: str) -> str:
    """Return the repo id to publish a variant under.

    Raises NeedsHuman where no org is set, or the id would be longer than the Hub allows.
    """
    if not org:
        raise NeedsHuman(
            "publishing needs to know where: no org is set",
            where="settings, org",
            hint="set org in hubbot.toml or HUBBOT_ORG, then `hubbot retry`",
        )
    owner, _, name = source.rpartition("/")
    target = f"{org}/{pattern.format(owner=owner, name=name, variant=variant)}"
    if "--" in target or ".." in target:
        raise NeedsHuman(
            "the Hub allows neither '--' nor '..' in a name",
            where=target,
            hint="set another repo_name, then `hubbot retry`",
        )
    if len(target) > LONGEST_ID:
        raise NeedsHuman(
            f"the target's name has {len(target)} characters, the Hub allows {LONGEST_ID}",
            where=target,
            hint="set a shorter repo_name, as {name}-{variant}, then `hubbot retry`",
        )
    return target


def own_mark(hub: Hub, repo_id: str, source: Repo, variant: str, state: RepoState) -> Mark:
    """Return the mark of a repo that was made from this source and variant, also under the source's former name.

    Raises NotOurs for any other repo.
    """
    mark = read_mark(hub, repo_id, state)
    if mark is None:
        raise NotOurs(
            f"the repo exists and carries no {MARK}, so hubbot will not touch it",
            where=repo_id,
            hint="rename or delete it, or set another repo_name or org",
        )
    if same_origin(mark, source, variant) or (
        mark["variant"] == variant and hub.present_name(mark["source"]["repo"]) == source.id
    ):
        return mark
    raise NotOurs(
        f"the repo was made from {mark['source']['repo']}, variant {mark['variant']}, not from {source.id}",
        where=repo_id,
        hint="two sources share a name: set repo_name so that it holds {owner}, as {owner}-{name}-MLX-{variant}",
    )


def read_mark(hub: Hub, repo_id: str, state: RepoState) -> Mark | None:
    """Return the mark that a repo carries, None where it has none that is hubbot's."""
    data = hub.read_file(repo_id, MARK, MAX_BYTES) if MARK in state.files else None
    return parse_mark(data) if data else None


def refuse_older(hub: Hub, source: str, revision: str, there: str) -> None:
    """Raise Superseded unless `revision` of a source is `there`, the one published already, or comes after it.

    A source that is gone meanwhile has no order left: then the last that was asked for is published.
    """
    try:
        is_older = revision != there and not hub.is_newer(source, revision, there)
    except RepoMissing:
        is_older = False
    if is_older:
        raise Superseded(
            f"revision {revision[:TAG_DIGITS]} does not come after {there[:TAG_DIGITS]}, which is published",
            where=source,
            hint=f"to replace it all the same: `hubbot enqueue {source}@{revision} --allow-older`",
        )


def _unchanged_files(approved: Approved, folder: Path) -> dict[str, str]:
    """Return the sha256 of the files to publish; raises StructureMismatch if one is not as it was judged."""
    digests_now = hash_files(folder)
    judged = {path: sha for path, sha in approved.report.digests.items() if path not in ABOUT}
    now = {path: sha for path, sha in digests_now.items() if path not in ABOUT}
    if judged != now:
        changed = sorted(path for path in {*judged, *now} if judged.get(path) != now.get(path))
        raise StructureMismatch(
            f"{changed[0]!r} is not the file that was judged",
            where=str(folder),
            hint="the folder was changed after its verification; nothing is published",
        )
    missing = sorted({MARK, CARD, REPORT} - set(digests_now))
    if missing:
        raise StructureMismatch(f"{missing[0]} is missing", where=str(folder))
    return digests_now


def _begun(hub: Hub, repo_id: str) -> RepoState:
    """Return the repo made just now, also by a try whose answer was lost; NotOurs where it is out of sight."""
    is_new = hub.create_private(repo_id)
    state = hub.state(repo_id)
    if state is None and not is_new:
        raise NotOurs(
            "the name is taken by a repo that this token may not see",
            where=repo_id,
            hint="use a token that sees it, or set another repo_name or org; then `hubbot retry`",
        )
    return state or _existing(hub, repo_id)


def _existing(hub: Hub, repo_id: str) -> RepoState:
    state = hub.state(repo_id)
    if state is None:
        raise HubUnavailable("the repo is not there", where=repo_id, hint="the job is tried again by itself")
    return state


def refuse_empty(state: RepoState, *, begun: bool) -> None:
    """Raise NotOurs unless the empty repo is one that hubbot had just made when it was stopped."""
    if not (begun and state.private):
        raise NotOurs(
            "the repo exists and is empty; hubbot did not make it, so it will not touch it",
            where=state.id,
            hint="delete it, or set another repo_name or org",
        )


def _change(hub: Hub, state: RepoState, mark: Mark | None, folder: Path, digests: Mapping[str, str]) -> Change:
    """Return what has to be committed so that the repo holds the artifact; what others added stays.

    Where only what is written about the artifact differs, nothing is committed unless the card brings news.
    """
    others = _others_pictures(hub, state)
    own = {file.path for file in recorded(mark)} | (ABOUT - others) if mark else set()
    changed = {
        path: sha
        for path, sha in digests.items()
        if path not in others and (path not in state.files or not state.files[path].is_file(folder / path, sha))
    }
    theirs = sorted(path for path in changed if path in state.files and path not in own)
    if theirs:
        raise NotOurs(
            f"{theirs[0]!r} of the repo is not hubbot's, and this version brings a file of that name",
            where=state.id,
            hint="rename or delete it, then `hubbot retry`",
        )
    deleted = sorted(path for path in own if path in state.files and path not in digests)
    if {*deleted, *changed} - ABOUT:
        return Change(names=changed, deleted=deleted)
    about = {path: sha for path, sha in digests.items() if path in ABOUT}
    return _card_change(hub, state, folder, about, others)


def _others_pictures(hub: Hub, state: RepoState) -> set[str]:
    """Return the pictures of a repo that bear hubbot's names, but which its report does not list."""
    there = set(PICTURES) & set(state.files)
    report = _report(hub.read_file(state.id, REPORT, MAX_BYTES)) if there else {}
    drawn = report.get(DRAWN)
    # Earlier versions listed none, and drew what there is.
    return there - set(drawn) if isinstance(drawn, list) else set()


def _card_change(
    hub: Hub, state: RepoState, folder: Path, digests: Mapping[str, str], others: Collection[str]
) -> Change:
    """Return card, report and pictures where they say something new: other timings and versions are no news.

    Pictures that are `others`' stay.
    """
    there = {MARK, CARD, REPORT} & set(state.files)
    if {MARK, CARD, REPORT} & set(digests) <= there and not _has_news(hub, state, folder):
        return Change(names={}, deleted=())
    names = {
        path: sha
        for path, sha in digests.items()
        if path not in others and (path not in state.files or not state.files[path].is_file(folder / path, sha))
    }
    gone = set(PICTURES) & set(state.files) - set(digests) - set(others)
    return Change(names=names, deleted=sorted(gone))


def _has_news(hub: Hub, state: RepoState, folder: Path) -> bool:
    there = _facts(hub.read_file(state.id, REPORT, MAX_BYTES))
    return there is not None and there != _facts((folder / REPORT).read_bytes())


def _facts(report: bytes | None) -> object:
    """Return the fingerprint of what a report's card says; None for a report of a version that kept none."""
    return _report(report).get(CARD_FACTS)


def _report(data: bytes | None) -> Mapping[str, Any]:
    """Return a report.json, empty where it is none."""
    try:
        found = plain_json.loads(data or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _commit(
    hub: Hub, state: RepoState, change: Change, folder: Path, message: str, *, is_first: bool
) -> RepoState:
    """Make the change in one commit, compare the repo with it, and return the repo as it is then."""
    if not change.names and not change.deleted:
        return state
    made = hub.commit(
        state.id, folder, sorted(change.names), deleted=change.deleted, message=message, parent=state.revision
    )
    after = _existing(hub, state.id)
    wrong = _wrong(state, after, change, folder)
    if not wrong:
        return after
    told = f"after the upload {len(wrong)} files on the Hub are not what they should be: {wrong[0]}"
    if is_first or after.revision != made:
        hint = "the repo stays private; " if is_first else "somebody else changes the repo, too; "
        raise HubUnavailable(told, where=state.id, hint=f"{hint}the job is tried again by itself")
    hub.put_back(state.id, state, after, f"Put back what was before: {message}"[:200])
    raise HubRefused(told, where=state.id, hint="the former files are back; look at the repo, then `hubbot retry`")


def _wrong(before: RepoState, after: RepoState, change: Change, folder: Path) -> list[str]:
    sent = {
        path
        for path, sha in change.names.items()
        if path not in after.files or not after.files[path].is_file(folder / path, sha)
    }
    left = {path for path in change.deleted if path in after.files}
    touched: Collection[str] = {*change.names, *change.deleted, *KEPT_REMOTE}
    others = {
        path
        for path in {*before.files, *after.files}
        if path not in touched and not (path in before.files and before.files[path].is_same(after.files.get(path)))
    }
    return sorted(sent | left | others)
