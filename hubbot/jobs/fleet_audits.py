"""The fleet's audit: now and then, while nothing else is to do, one published repo is judged again.

First what a version made that is known to be wrong, then what was not judged for longest. All runners of a
database share one budget. An audit gives way to a job that waits for the machine; its failure never stops the bot.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hubbot.catalogue.known_bad_versions import installed, touching
from hubbot.deadlines import Interrupted
from hubbot.errors import HubUnavailable, RateLimited, TryLater
from hubbot.jobs.audits import Auditing, faults_of
from hubbot.jobs.pauses import Pauses
from hubbot.lifecycle import Stage
from hubbot.store.queue import Clock
from hubbot.store.records import Audit, PublishedVariant

logger = logging.getLogger(__name__)
DAY = timedelta(days=1)
LOOK_SECONDS = 60.0
POLL_SECONDS = 2.0
# The watermark that holds when the last audit of the schedule began.
SLOT = "audit of the fleet"
_NEVER = datetime.min.replace(tzinfo=UTC)


class FleetAudits:
    """The audits of one runner; `per_day` is the budget, 0 for none, `gives_way_to` the stages that come first."""

    def __init__(
        self,
        *,
        auditing: Auditing,
        pauses: Pauses,
        clock: Clock,
        per_day: int,
        gives_way_to: Collection[Stage],
    ) -> None:
        self._auditing = auditing
        self._pauses = pauses
        self._clock = clock
        self._per_day = per_day
        self._gives_way_to = tuple(gives_way_to)
        self._next_look = 0.0

    def look(self, stop: threading.Event) -> None:
        """Audit one repo if one is due, until `stop` is set or a job waits; no error of the audit is raised."""
        if not self._per_day or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        try:
            item = self._due()
            if item is not None:
                self._audit(item, stop)
        except Exception as error:  # noqa: BLE001  the bot outlives every audit
            logger.warning("the audit of the fleet failed: %s: %s", type(error).__name__, error)

    def _due(self) -> PublishedVariant | None:
        """Return the repo whose turn it is, its slot taken; None where there is none, or something else to do."""
        results = self._auditing.results
        if self._pauses.stages() or self._is_wanted(tuple(Stage)):
            return None
        last, now = results.watermark(SLOT), self._clock()
        if last and timedelta(0) <= now - _moment(last) < DAY / self._per_day:
            return None
        line = in_line(results.publications(), results.last_audits(), installed())
        if not line:
            return None
        if last is None:
            results.set_watermark(SLOT, "")
        # Another runner may have taken the slot meanwhile.
        return line[0] if results.move_watermark(SLOT, last or "", now.isoformat()) else None

    def _audit(self, item: PublishedVariant, stop: threading.Event) -> None:
        faults = "; ".join(f"{row.package} {row.wrong}" for row in faults_of(item))
        logger.info("audit of %s begins%s", item.target_repo, f": {faults}" if faults else "")
        with self._watched(stop) as cancelled:
            auditing = replace(self._auditing, cancelled=cancelled, hub=self._auditing.hub.until(cancelled))
            try:
                for audited in auditing.run([item]):
                    if audited.job_id is not None:
                        logger.warning("%s: refused; job %d makes it anew", audited.repo, audited.job_id)
            except Interrupted:
                logger.info("audit of %s gave way; it is made another time", item.target_repo)
            except (HubUnavailable, RateLimited) as error:
                self._pauses.explains(error)
                logger.warning("audit of %s was not made: %s", item.target_repo, error)
            except TryLater as error:
                # Too large for this disk, or it ends the child: the others shall have their turn.
                auditing.pass_over(item, error.message)

    @contextmanager
    def _watched(self, stop: threading.Event) -> Iterator[threading.Event]:
        """Yield an event that is set as soon as the audit is to end: with `stop`, or where a job waits."""
        cancelled, over = threading.Event(), threading.Event()

        def watch() -> None:
            while not over.wait(POLL_SECONDS):
                try:
                    if stop.is_set() or self._is_wanted(self._gives_way_to):
                        cancelled.set()
                        return
                except TryLater as error:
                    logger.warning("%s", error)

        thread = threading.Thread(target=watch, name="audit gives way", daemon=True)
        thread.start()
        try:
            yield cancelled
        finally:
            over.set()
            thread.join()

    def _is_wanted(self, stages: tuple[Stage, ...]) -> bool:
        settings = self._auditing.settings
        return self._auditing.queue.first_due(settings.runner, stages, settings.memory_bytes) is not None


def in_line(
    published: Sequence[PublishedVariant], audits: Mapping[tuple[str, str], Audit], judges: Mapping[str, str]
) -> list[PublishedVariant]:
    """Return what the fleet's repos hold now, in the order in which they are to be audited.

    `published` has the newest first; `audits` is the last one of each repo and variant, `judges` are the versions
    that would judge. A fault comes first until versions without it have judged once, and only where these are.
    """
    newest: dict[tuple[str, str], PublishedVariant] = {}
    for item in published:
        newest.setdefault((item.target_repo, item.variant), item)

    def turn(item: PublishedVariant) -> tuple[bool, datetime, datetime]:
        last = audits.get((item.target_repo, item.variant))
        judged_well = last is not None and not touching(last.versions, item.model_type, item.variant)
        helps = not touching(judges, item.model_type, item.variant)
        urgent = bool(faults_of(item)) and helps and not judged_well
        return not urgent, last.audited_at if last else _NEVER, item.published_at

    return sorted(newest.values(), key=turn)


def _moment(text: str) -> datetime:
    """Return when the last audit began; what cannot be read was long ago."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)
