"""Watching as a job of its own: look at the Hub under every rule, remember, enqueue what is new and wanted."""

import logging
from dataclasses import dataclass
from datetime import datetime

from hubbot.hub.client import Hub
from hubbot.jobs.pipeline import recipe_key
from hubbot.settings import Settings
from hubbot.steps.watch import Seen, watch
from hubbot.store.queue import Clock, Queue
from hubbot.store.results import Results

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What watching decided about one repo at one revision; `job_id` is None where it is not wanted."""

    repo: str
    revision: str
    rule: str
    verdict: str
    job_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """All rules of the settings over one Hub and one database."""

    settings: Settings
    hub: Hub
    queue: Queue
    results: Results
    clock: Clock

    def look(self, *, dry_run: bool) -> list[Decision]:
        """Return what is new since the last look; unless `dry_run`, enqueue and remember it."""
        decisions = []
        for rule in self.settings.watch:
            mark = self.results.watermark(rule.name)
            watched = watch(
                rule,
                self.hub,
                watermark=datetime.fromisoformat(mark) if mark else None,
                now=self.clock(),
                own=(self.settings.org,) if self.settings.org else (),
            )
            decisions += [self._decide(seen, dry_run=dry_run) for seen in watched.seen if self._is_new(seen)]
            if not dry_run:
                self.results.set_watermark(rule.name, watched.watermark.isoformat())
        return decisions

    def _is_new(self, seen: Seen) -> bool:
        return not seen.deferred and not self.results.seen(seen.repo.id, seen.repo.revision)

    def _decide(self, seen: Seen, *, dry_run: bool) -> Decision:
        repo = seen.repo
        verdict, job_id = seen.refusal or "enqueued", None
        if seen.refusal is None and not dry_run:
            variants = self.settings.variants
            job, _ = self.queue.enqueue(
                repo.id, repo.revision, variants, recipe_key(variants), requested_by=f"rule {seen.rule}"
            )
            job_id = job.id
        if not dry_run:
            self.results.record_sighting(repo.id, repo.revision, verdict, job_id)
            logger.info("%s: %s (rule %s)", repo.id, verdict, seen.rule)
        return Decision(repo=repo.id, revision=repo.revision, rule=seen.rule, verdict=verdict, job_id=job_id)
