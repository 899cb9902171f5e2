"""One round of watching: list the Hub under every rule, record what was seen, enqueue what is new and wanted."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from hubbot.hub.client import Hub
from hubbot.jobs.pipeline import recipe_key
from hubbot.marks import fingerprint
from hubbot.settings import Settings, WatchRule
from hubbot.steps.watch import Seen, demand, priority, watch
from hubbot.store.queue import Clock, Queue
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
ENQUEUED = "enqueued"
A_DAY = timedelta(hours=24)
# The part of the Hub's quota that watching does not touch.
LEFT_TO_OTHERS = 0.5
DEFERRED = "deferred: its last commit is younger than the rule's min_age_hours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What watching decided about one repo at one revision; `job_id` is None where it is not wanted.

    `priority` is that of the job, by likes, downloads and trend; None where there is none.
    """

    repo: str
    revision: str
    rule: str
    verdict: str
    job_id: int | None
    priority: int | None = None


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
        # Listing is what can wait: fetching and publishing keep their part of the Hub's quota.
        hub = self.hub.sparing(LEFT_TO_OTHERS)
        for rule in self.settings.watch:
            key = watermark_key(rule)
            mark = self.results.watermark(key)
            watched = watch(
                rule,
                hub,
                watermark=datetime.fromisoformat(mark) if mark else None,
                now=self.clock(),
                own=(self.settings.org,) if self.settings.org else (),
            )
            watermarks[key] = watched.watermark
            for seen in watched.seen:
                self._keep(by_revision, seen)
        new = [seen for seen in by_revision.values() if self._is_new(seen)]
        held = self._held_back([seen for seen in new if _verdict(seen) == ENQUEUED])
        decisions = [
            self._decide(seen, held.get(seen.repo.id), dry_run=dry_run)
            for seen in new
            if seen.repo.id not in held or not self._is_told(seen, held[seen.repo.id])
        ]
        if not dry_run:
            # What is held back must be listed again: its rule's watermark stops before it.
            for seen in new:
                key = next(watermark_key(rule) for rule in self.settings.watch if rule.name == seen.rule)
                before = watermarks[key]
                if seen.repo.id in held and before is not None:
                    watermarks[key] = min(before, seen.repo.last_modified)
            for key, watermark in watermarks.items():
                if watermark is not None:
                    self.results.set_watermark(key, watermark.isoformat())
        return decisions

    def _held_back(self, wanted: list[Seen]) -> dict[str, str]:
        """Return, by repo, why it waits although a rule wants it: its owner has had its share of the day."""
        most = {rule.name: rule.max_per_owner for rule in self.settings.watch}
        taken: dict[tuple[str, str], int] = {}
        held = {}
        for seen in sorted(wanted, key=lambda seen: -demand(seen.repo)):
            limit, owner = most[seen.rule], seen.repo.id.partition("/")[0]
            if limit is None:
                continue
            key = seen.rule, owner
            if key not in taken:
                taken[key] = self.queue.count_within(A_DAY, requested_by=f"rule {seen.rule}", owner=owner)
            if taken[key] >= limit:
                held[seen.repo.id] = f"deferred: {owner} has had its {limit} of 24 hours under rule {seen.rule}"
            taken[key] += 1
        return held

    def _is_told(self, seen: Seen, verdict: str) -> bool:
        before = self.results.sighting(seen.repo.id, seen.repo.revision)
        return before is not None and before.verdict == verdict

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

    def _decide(self, seen: Seen, held: str | None, *, dry_run: bool) -> Decision:
        repo = seen.repo
        verdict, job_id = held or _verdict(seen), None
        if verdict == ENQUEUED and not dry_run:
            variants = self.settings.variants
            job, _ = self.queue.enqueue(
                repo.id,
                repo.revision,
                variants,
                recipe_key(variants, text_only=self.settings.text_only),
                requested_by=f"rule {seen.rule}",
                priority=priority(repo),
                newest=True,
            )
            job_id = job.id
        if not dry_run:
            self.results.record_sighting(repo.id, repo.revision, verdict, job_id)
            logger.info("%s: %s (rule %s)", repo.id, verdict, seen.rule)
        return Decision(
            repo=repo.id,
            revision=repo.revision,
            rule=seen.rule,
            verdict=verdict,
            job_id=job_id,
            priority=priority(repo) if verdict == ENQUEUED else None,
        )


def _verdict(seen: Seen) -> str:
    return seen.refusal or (DEFERRED if seen.deferred else ENQUEUED)


def _eagerness(seen: Seen) -> int:
    return 0 if seen.refusal is not None else 1 if seen.deferred else 2
