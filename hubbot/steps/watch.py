"""List what is new on the Hub under each rule, and say of every repo whether it is wanted and why.

It keeps no state: the caller passes the time up to which it has looked, and gets back the new one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from hubbot.files.sizes import readable
from hubbot.hub.client import Hub
from hubbot.hub.model_lists import Listed
from hubbot.settings import WatchRule

# A repo listed while it is being changed may show an older date on the next page.
OVERLAP = timedelta(minutes=10)
FUTURE = timedelta(days=1)
# Without a watermark, a rule starts with what changed this recently.
FIRST_LOOK = timedelta(days=7)


# From how much demand on a repo goes one step further ahead in the queue; below all of them it is the last.
DEMANDS = (100, 10_000, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One listed repo under one rule: `refusal` says why it is not wanted, `deferred` that it is too young yet."""

    repo: Listed
    rule: str
    refusal: str | None
    deferred: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The result of one look: every repo once, and the watermark: the Hub's time up to which it has looked."""

    seen: tuple[Seen, ...]
    watermark: datetime | None


def watch(rule: WatchRule, hub: Hub, *, watermark: datetime | None, now: datetime, own: Sequence[str]) -> Watched:
    """Return what changed under `rule` since `watermark`; `own` are namespaces that hubbot publishes to."""
    # A watermark of tomorrow was written while this machine's clock was wrong, or is read while it is.
    if watermark and watermark > now + FUTURE:
        watermark = None
    since = (watermark - OVERLAP) if watermark else now - FIRST_LOOK
    seen: dict[str, Seen] = {}
    for repo in _listed(rule, hub, since):
        if repo.id not in seen:
            seen[repo.id] = _judge(rule, repo, now, own)
    deferred = [item.repo.last_modified for item in seen.values() if item.deferred]
    newest = max((item.repo.last_modified for item in seen.values()), default=watermark)
    # A repo that is too young today must be listed again: the watermark stops before it.
    return Watched(seen=tuple(seen.values()), watermark=min([newest, *deferred]) if newest else None)


def demand(repo: Listed) -> int:
    """Return how much people want a repo: a download of the last month is 1, a like 10, a trend's point 100."""
    return repo.downloads + 10 * repo.likes + 100 * repo.trending


def priority(repo: Listed) -> int:
    """Return the priority of a job that a rule asks for: -3 (hardly wanted) to 0, which people's own jobs have."""
    return sum(demand(repo) >= step for step in DEMANDS) - len(DEMANDS)


def _listed(rule: WatchRule, hub: Hub, since: datetime) -> Iterator[Listed]:
    for author in rule.authors or (None,):
        for search in rule.search or (None,):
            yield from hub.listing(author=author, search=search, tags=rule.tags, until=since)


def _judge(rule: WatchRule, repo: Listed, now: datetime, own: Sequence[str]) -> Seen:
    refusal = refuse(rule, repo, own)
    young = refusal is None and now - repo.last_modified < timedelta(hours=rule.min_age_hours)
    return Seen(repo=repo, rule=rule.name, refusal=refusal, deferred=young)


def refuse(rule: WatchRule, repo: Listed, own: Sequence[str]) -> str | None:
    """Return why `rule` does not want `repo`, or None where it does."""
    checks = (
        (repo.id.partition("/")[0] in own, "hubbot publishes there itself"),
        ("mlx" in repo.tags, "it is an MLX repo already"),
        (not any(fnmatchcase(repo.id, pattern) for pattern in rule.allow), "not on the allow list"),
        (any(fnmatchcase(repo.id, pattern) for pattern in rule.deny), "on the deny list"),
        (
            bool(rule.licences) and not (repo.licences and set(repo.licences) <= set(rule.licences)),
            f"licence {', '.join(repo.licences) or 'unknown'} is not on the list",
        ),
        (
            rule.max_gigabytes is not None and (repo.nbytes or 0) > rule.max_gigabytes * 1e9,
            f"its {readable(repo.nbytes or 0)} are above the limit",
        ),
    )
    return next((reason for applies, reason in checks if applies), None)
