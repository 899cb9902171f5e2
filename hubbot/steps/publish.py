"""Put an approved artifact on the Hub: private until every sha256 matches, idempotent at every point.

It takes nothing but an Approved, refuses a remote repo without hubbot's marker, and keeps what came from a
gated or private source private.
"""

from pathlib import Path

from hubbot.artifacts import Approved, Publication
from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.checks.readers.hashed_files import hash_files
from hubbot.errors import HubUnavailable, NeedsHuman, NotOurs, RepoMissing, StructureMismatch, Superseded
from hubbot.finishing import ABOUT, CARD, REPORT
from hubbot.hub.client import Hub
from hubbot.marks import MARK, MAX_BYTES, parse_mark, same_origin

KEPT_REMOTE = frozenset({".gitattributes"})
TAG_DIGITS = 12


def publish(
    approved: Approved,
    checkpoint: Checkpoint,
    *,
    hub: Hub,
    repo_id: str,
    collection: str | None,
    allow_older: bool = False,
) -> Publication:
    """Publish the artifact as `repo_id` and return the publication; calling it again changes nothing.

    Raises NotOurs where the remote repo is somebody's own, Superseded where it was made from a newer commit of the
    source and not `allow_older`, StructureMismatch where the folder is not what was
    judged, HubUnavailable where the Hub's checksums never match, and what the Hub's door raises.
    """
    artifact = approved.artifact
    folder = Path(artifact.path)
    names = _unchanged_files(approved, folder)
    remote = _ours(hub, repo_id, approved, allow_older=allow_older)
    private = checkpoint.gated or checkpoint.private
    stale = sorted(set(remote) - set(names) - KEPT_REMOTE) if remote else []
    # Comparing hashes the whole folder: once is enough where the Hub holds it already.
    differing = None if remote is None or stale else hub.differing(repo_id, folder)
    if differing is None or differing:
        _replace(hub, repo_id, folder, names, stale, approved)
        differing = hub.differing(repo_id, folder)
    if differing:
        raise HubUnavailable(
            f"after the upload {len(differing)} files on the Hub are not those of this machine: {differing[0]}",
            where=repo_id,
            hint="the repo stays private; the job is tried again by itself",
        )
    if hub.is_private(repo_id) != private:
        hub.set_private(repo_id, private=private)
    hub.tag(repo_id, f"source-{artifact.source.revision[:TAG_DIGITS]}", f"converted from {artifact.source.id}")
    if collection and not private:
        hub.collect(collection, repo_id.partition("/")[0], repo_id)
    return Publication(
        source=artifact.source,
        variant=artifact.variant,
        repo_id=repo_id,
        revision=hub.head(repo_id),
        private=private,
        url=f"{hub.endpoint}/{repo_id}",
    )


def target_id(org: str | None, pattern: str, source: str, variant: str) -> str:
    """Return the repo id to publish a variant under, or raise NeedsHuman where no org is set."""
    if not org:
        raise NeedsHuman(
            "publishing needs to know where: no org is set",
            where="settings, org",
            hint="set org in hubbot.toml or HUBBOT_ORG, then `hubbot retry`",
        )
    return f"{org}/{pattern.format(name=source.rpartition('/')[2], variant=variant)}"


def _unchanged_files(approved: Approved, folder: Path) -> list[str]:
    """Return the files to publish, or raise StructureMismatch where one has changed since it was judged."""
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
    return sorted(digests_now)


def _ours(hub: Hub, repo_id: str, approved: Approved, *, allow_older: bool) -> dict[str, FileInfo] | None:
    """Return the remote files, None where the repo does not exist; raises NotOurs where somebody else made it."""
    remote = hub.tree(repo_id)
    if remote is None or not set(remote) - KEPT_REMOTE:
        return remote
    data = hub.read_file(repo_id, MARK, MAX_BYTES) if MARK in remote else None
    mark = parse_mark(data) if data else None
    if mark is None:
        raise NotOurs(
            f"the repo exists and carries no {MARK}, so hubbot will not touch it",
            where=repo_id,
            hint="rename or delete it, or set another repo_name or org",
        )
    if not same_origin(mark, approved.artifact.source, approved.artifact.variant):
        made_from = f"{mark.get('source', {}).get('repo')}, variant {mark.get('variant')}"
        raise NotOurs(
            f"the repo was made from {made_from}, not from {approved.artifact.source.id}",
            where=repo_id,
            hint="two sources share a name; set another repo_name",
        )
    there = (mark.get("source") or {}).get("revision")
    if isinstance(there, str) and not allow_older:
        refuse_older(hub, approved.artifact.source.id, approved.artifact.source.revision, there)
    return remote


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


def _replace(hub: Hub, repo_id: str, folder: Path, names: list[str], stale: list[str], approved: Approved) -> None:
    hub.create_private(repo_id)
    if not hub.is_private(repo_id):
        hub.set_private(repo_id, private=True)
    source = approved.artifact.source
    message = f"{approved.artifact.variant} of {source.id}@{source.revision[:TAG_DIGITS]}"
    # The marker goes first: a crash from here on leaves a private repo that is recognisably hubbot's.
    hub.upload(repo_id, folder, [MARK], f"Mark: {message}")
    hub.upload(repo_id, folder, names, message)
    if stale:
        hub.delete_files(repo_id, stale, f"Remove files that are not part of {message}")
