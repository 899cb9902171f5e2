"""One round of watching: list the Hub under every rule, record what was seen, enqueue what is new and wanted."""

import logging
from dataclasses import dataclass
from datetime import datetime

from hubbot.hub.client import Hub
from hubbot.jobs.pipeline import recipe_key
from hubbot.marks import fingerprint
from hubbot.settings import Settings, WatchRule
from hubbot.steps.watch import Seen, watch
from hubbot.store.queue import Clock, Queue
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
ENQUEUED = "enqueued"
DEFERRED = "deferred: its last commit is younger than the rule's min_age_hours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What watching decided about one repo at one revision; `job_id` is None where it is not wanted."""

    repo: str
    revision: str
    rule: str
    verdict: str
    job_id: int | None


def watermark_key(rule: WatchRule) -> str:
    """Return the key of a rule's watermark; a changed rule has another key and so begins anew."""
    return f"{rule.name}:{fingerprint(rule.model_dump())[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """All rules of the settings over one Hub and one database."""

    settings: Settings
    hub: Hub
    queue: Queue
    results: Results
    clock: Clock

    def look(self, *, dry_run: bool) -> list[Decision]:
        """Return the decisions on what is new since the last round; unless `dry_run`, enqueue and record it.

        Raises HubUnavailable and its like.
        """
        by_revision: dict[tuple[str, str], Seen] = {}
        watermarks = {}
        for rule in self.settings.watch:
            key = watermark_key(rule)
            mark = self.results.watermark(key)
            watched = watch(
                rule,
                self.hub,
                watermark=datetime.fromisoformat(mark) if mark else None,
                now=self.clock(),
                own=(self.settings.org,) if self.settings.org else (),
            )
            watermarks[key] = watched.watermark
            for seen in watched.seen:
                self._keep(by_revision, seen)
        decisions = [self._decide(seen, dry_run=dry_run) for seen in by_revision.values() if self._is_new(seen)]
        if not dry_run:
            for key, watermark in watermarks.items():
                if watermark is not None:
                    self.results.set_watermark(key, watermark.isoformat())
        return decisions

    @staticmethod
    def _keep(by_revision: dict[tuple[str, str], Seen], seen: Seen) -> None:
        """Add `seen`; where several rules saw one revision, a rule that wants it wins, then one that waits."""
        key = (seen.repo.id, seen.repo.revision)
        if key not in by_revision or _eagerness(seen) > _eagerness(by_revision[key]):
            by_revision[key] = seen

    def _is_new(self, seen: Seen) -> bool:
        before = self.results.sighting(seen.repo.id, seen.repo.revision)
        # What was refused once may be wanted now that the rules have changed.
        return before is None or (before.job_id is None and before.verdict != _verdict(seen))

    def _decide(self, seen: Seen, *, dry_run: bool) -> Decision:
        repo = seen.repo
        verdict, job_id = _verdict(seen), None
        if verdict == ENQUEUED and not dry_run:
            variants = self.settings.variants
            job, _ = self.queue.enqueue(
                repo.id,
                repo.revision,
                variants,
                recipe_key(variants, text_only=self.settings.text_only),
                requested_by=f"rule {seen.rule}",
                newest=True,
            )
            job_id = job.id
        if not dry_run:
            self.results.record_sighting(repo.id, repo.revision, verdict, job_id)
            logger.info("%s: %s (rule %s)", repo.id, verdict, seen.rule)
        return Decision(repo=repo.id, revision=repo.revision, rule=seen.rule, verdict=verdict, job_id=job_id)


def _verdict(seen: Seen) -> str:
    return seen.refusal or (DEFERRED if seen.deferred else ENQUEUED)


def _eagerness(seen: Seen) -> int:
    return 0 if seen.refusal is not None else 1 if seen.deferred else 2
